import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.inference.text_stream import TextStream
from tests.finetuning.chat import chat_tokenizer
from tests.inference.helpers import TEXT, tokenizer


def pieces_of(ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    text = TextStream(tokenizer(), stop)
    return [*(text.put(token_id) for token_id in ids), text.end()]


def test_no_piece_ends_inside_a_character() -> None:
    text = "模型🚀é 从前" * 3
    pieces = pieces_of(tokenizer().encode(text))
    assert "".join(pieces) == text and not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces  # some were split over tokens


def text_before_stop(text: str, stop: tuple[str, ...]) -> str:
    """The definition, character by character: end when a stop string is complete, without it."""
    for end in range(len(text) + 1):
        if done := [s for s in stop if text[:end].endswith(s)]:
            return text[: end - max(map(len, done))]
    return text


@given(st.text("ab模🙂", max_size=30), st.lists(st.text("ab模🙂", min_size=1, max_size=4), max_size=3))
@settings(max_examples=300, deadline=None)
def test_text_ends_before_the_first_stop_string_however_it_is_tokenized(text: str, stop: list[str]) -> None:
    pieces = pieces_of(tokenizer().encode(text), tuple(stop))
    assert "".join(pieces) == text_before_stop(text, tuple(stop))


def test_a_stop_string_inside_one_token() -> None:
    ids = tokenizer().encode(TEXT)
    for stop in ("pon a t", "模型，", "🚀 It", "\n"):
        assert "".join(pieces_of(ids, (stop,))) == TEXT[: TEXT.index(stop)]


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    text = TextStream(tokenizer(), ("##END",))
    shown = "".join(text.put(token_id) for token_id in tokenizer().encode("so ##E"))
    assert shown == "so " and not text.stopped_by
    assert text.end() == "##E"


@pytest.mark.parametrize("stop", ["<|im_end|>", "b<|im_end|>", "<|im_end|>\nx", "im_", "<|im_end|><|im_start|>"])
def test_a_stop_string_may_spell_special_tokens(stop: str) -> None:
    tokenizer = chat_tokenizer()
    spelled = "ab<|im_end|>\nxy<|im_end|><|im_start|>z"
    text = TextStream(tokenizer, (stop,))
    shown = "".join(text.put(token_id) for token_id in tokenizer.encode(spelled, parse_special=True)) + text.end()
    assert text.stopped_by == stop
    assert shown == spelled[: spelled.index(stop)].replace("<|im_end|>", "").replace("<|", "")


def test_special_tokens_that_end_nothing_are_not_shown() -> None:
    tokenizer = chat_tokenizer()
    text = TextStream(tokenizer, ("<|im_end|>!", "never"))
    ids = tokenizer.encode("a<|im_end|>b<|im_start|>", parse_special=True)
    assert "".join(map(text.put, ids)) + text.end() == "ab" and not text.stopped_by
