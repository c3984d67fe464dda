import numpy as np
import pytest

from lmcraft.moderation.classifier.features import MAX_SEGMENT_CHARS, MIN_SEGMENT_CHARS, extract, fold, segment_bounds


def codes(text):
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def all_hashes(text):
    return np.sort(np.concatenate([block.segment(n) for block in extract(text) for n in range(len(block.spans))]))


@pytest.mark.parametrize("text", ["", " ", "\n\n", "!?.", "…。", "\U0001f600 "[1:]])
def test_texts_without_letters_have_no_segments(text):
    assert list(extract(text)) == []


@pytest.mark.parametrize("text", ["a", "hello there", "今天天气很好", "a，b", "\U0001f600", "\ud800 x", "word " * 500])
def test_segments_lie_in_the_text_and_have_features(text):
    for block in extract(text):
        assert (block.counts() > 0).all()
        assert (block.spans[:, 0] < block.spans[:, 1]).all()
        assert block.spans[-1, 1] <= len(text)
        assert (np.diff(block.spans[:, 0]) > 0).all()


def test_signs_and_spaces_between_words_do_not_matter():
    assert np.array_equal(all_hashes("good morning, friend"), all_hashes("good   morning friend!"))


def test_a_word_has_the_same_hash_wherever_it_stands():
    words = [set(block.kinds[-2][0].tolist()) for text in ("blue sky", "the sky is blue") for block in extract(text)]
    assert words[0] < words[1]


def test_an_ideograph_is_a_word():
    [block] = extract("天气好")
    assert len(block.kinds[-2][0]) == 3


def test_segments_end_after_sentences_and_are_short():
    text = "A short one. " * 60 + "x" * 700
    bounds = segment_bounds(codes(text))
    assert bounds[0] == 0 and bounds[-1] == len(text)
    assert np.diff(bounds).max() <= MAX_SEGMENT_CHARS
    assert np.diff(bounds)[:-1].min() >= MIN_SEGMENT_CHARS
    assert all(text[end - 1] in ".x" for end in bounds[1:-1])


def test_a_text_of_several_blocks_has_the_segments_of_its_parts():
    sentence = "Nine small boats went out to sea. "
    blocks = list(extract(sentence * 3000))
    assert len(blocks) > 1
    starts = np.concatenate([block.spans[:, 0] for block in blocks])
    ends = np.concatenate([block.spans[:, 1] for block in blocks])
    assert np.array_equal(starts[1:], ends[:-1])


def test_fold_says_where_characters_come_from():
    letters, positions = fold(codes("ab,  c"))
    assert "".join(map(chr, letters)) == " ab c "
    assert positions[[1, 2, 4]].tolist() == [0, 1, 5]
