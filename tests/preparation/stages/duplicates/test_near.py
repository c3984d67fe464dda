"""Near-duplicates: which documents go, the document that is named, and what may not change the result."""

import random
from pathlib import Path

import numpy as np
import pytest

from lmcraft.data.words import hash_words
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import DocumentId, Record
from lmcraft.preparation.stages.duplicates import minhash, pairs
from lmcraft.preparation.stages.duplicates.corpus import SketchTable
from lmcraft.preparation.stages.duplicates.near import NearDuplicates
from lmcraft.preparation.stages.duplicates.ragged import RaggedWriter
from tests.preparation.stages.duplicates.steps import NoPosition, compare, record, removed, sizes


def sentence(seed: int, words: int = 200) -> list[str]:
    """Words that no other seed has in this order."""
    draw = random.Random(seed)
    return [f"w{draw.randrange(5000)}" for _ in range(words)]


def edited(words: list[str], places: list[int]) -> str:
    """The text with other words at some places; each removes 5 shingles of 5 words and adds 5."""
    return " ".join("new" if place in places else word for place, word in enumerate(words))


def true_jaccard(text: str, other: str, length: int = 5, separator: str | None = None) -> float:
    own, its = (
        {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}
        for words in (text.split() if separator is None else list(text), other.split() if separator is None else list(other))
    )
    return len(own & its) / len(own | its)


def planted(seed: int = 0) -> list[Record]:
    """200 originals, each third followed by an edited copy, shuffled."""
    texts = []
    for number in range(200):
        words = sentence(seed * 1000 + number)
        texts.append(" ".join(words))
        if number % 3 == 0:
            texts.append(edited(words, [40, 120][: 1 + number % 2]))
    random.Random(seed).shuffle(texts)
    return [record(position, text) for position, text in enumerate(texts)]


def cut(records: list[Record], size: int) -> list[list[Record]]:
    return [records[start : start + size] for start in range(0, len(records), size)]


def test_a_removed_document_names_a_similar_one_that_stays(tmp_path: Path) -> None:
    documents = planted()
    verdicts = compare(NearDuplicates(), cut(documents, 50), tmp_path)
    matches = removed(verdicts)
    assert len(matches) == 67
    for own, match in matches.items():
        assert match < own
        assert match not in matches
        value = verdicts[DocumentId(0, 0, own)].value
        assert value == pytest.approx(true_jaccard(documents[own].text, documents[match].text), abs=1e-4)
        assert value is not None
        assert value >= 0.8
    assert sizes(verdicts) == dict.fromkeys(matches.values(), 2)


def test_chains_are_not_followed(tmp_path: Path) -> None:
    """a ~ b ~ c, but not a ~ c: b goes, c stays."""
    words = sentence(1)
    a, b, c = edited(words, []), edited(words, [20, 60, 100]), edited(words, [20, 60, 100, 140, 180])
    assert true_jaccard(a, b) > 0.8 > true_jaccard(a, c)
    assert true_jaccard(b, c) > 0.8
    assert removed(compare(NearDuplicates(), [[record(0, a), record(1, b), record(2, c)]], tmp_path)) == {1: 0}


@pytest.mark.parametrize("resembles", [True, False])
def test_the_one_that_stands_for_a_similar_document_is_tried(resembles: bool, tmp_path: Path) -> None:
    """For the last document only one was proposed that went: it goes if it resembles the one that stands for that."""
    words = sentence(2)
    texts = [edited(words, []), edited(words, [20, 60]), edited(words, [60, 100] if resembles else [20, 60, 100, 140, 180])]
    sets = [minhash.shingle_set(hash_words(text), 5) for text in texts]
    folder = tmp_path / "one" / "sketch-near-duplicates"
    folder.mkdir(parents=True)
    table, writer = SketchTable(), RaggedWriter(folder, "sets")
    for place, shingles in enumerate(sets):
        writer.write(shingles)
        table.add(record(place, texts[place]))
    writer.close()
    table.write(folder)
    proposed = [(1, 0, minhash.jaccard(sets[0], sets[1]), 0), (2, 1, minhash.jaccard(sets[1], sets[2]), 0)]
    np.save(tmp_path / "similar.npy", np.array(proposed, dtype=pairs.SIMILAR))
    arguments = {"name": "near-duplicates", "corpus": [["one", 3]], "similar": ["two"], "priorities": [0], "threshold": 0.8}
    (tmp_path / "out").mkdir()
    pairs.resolve(arguments, {"one": tmp_path / "one", "two": tmp_path}, tmp_path / "out", NoPosition())
    assert np.load(tmp_path / "out/keepers.npy").tolist() == [0, 0, 0 if resembles else 2]


def test_priority_decides_which_stays(tmp_path: Path) -> None:
    words = sentence(3)
    documents = [
        record(0, edited(words, [])),
        record(1, edited(words, [50]), source="books", priority=2),
        record(2, edited(words, [50]), priority=-3),
        record(3, edited(words, [51]), source="books", priority=2),
    ]
    verdicts = compare(NearDuplicates(), cut(documents, 1), tmp_path)
    assert removed(verdicts) == {0: 1, 2: 1, 3: 1}
    assert sizes(verdicts) == {1: 4}


@pytest.mark.parametrize(("within", "expected"), [("all", {1: 0, 2: 0}), ("source", {2: 1}), ("language", {2: 0})])
def test_only_documents_of_a_group_are_compared(within: str, expected: dict[int, int], tmp_path: Path) -> None:
    words = sentence(4)
    documents = [
        record(0, edited(words, []), source="web", language="en"),
        record(1, edited(words, [3]), source="books", language="zh"),
        record(2, edited(words, [3]), source="books", language="en"),
    ]
    assert removed(compare(NearDuplicates(within=within), [documents], tmp_path)) == expected  # type: ignore[arg-type]


def test_chinese_is_compared_by_eight_characters(tmp_path: Path) -> None:
    draw = random.Random(5)
    text = "".join(chr(draw.randrange(0x4E00, 0x9000)) for _ in range(400))
    close, far = text[:100] + "的" + text[101:], "".join("的" if place % 20 == 0 else c for place, c in enumerate(text))
    verdicts = compare(NearDuplicates(), [[record(0, text), record(1, close), record(2, far)]], tmp_path)
    assert removed(verdicts) == {1: 0}
    value = verdicts[DocumentId(0, 0, 1)].value
    assert value == pytest.approx(true_jaccard(text, close, 8, ""), abs=1e-4)


def test_short_documents_stay(tmp_path: Path) -> None:
    short = "one two three four five six seven eight"  # 4 shingles
    assert compare(NearDuplicates(), [[record(0, short), record(1, short), record(2, ""), record(3, "")]], tmp_path) == {}


def test_neither_units_nor_ranges_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = planted(6)
    expected = compare(NearDuplicates(), [documents], tmp_path / "one")
    assert compare(NearDuplicates(), cut(documents, 17), tmp_path / "many") == expected
    monkeypatch.setattr(pairs, "UNIT_ENTRIES", 60)
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.corpus.GROUP_DOCUMENTS", 30)
    monkeypatch.setattr(pairs, "BLOCK_DOCUMENTS", 7)
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.near.BATCH_SHINGLES", 1000)
    assert compare(NearDuplicates(), cut(documents, 17), tmp_path / "ranges") == expected


def test_without_rensa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = planted(7)
    expected = removed(compare(NearDuplicates(), [documents], tmp_path / "rensa"))
    monkeypatch.setattr(minhash, "library", lambda: "numpy")
    assert removed(compare(NearDuplicates(), [documents], tmp_path / "numpy")) == expected


def test_a_large_bucket_is_one_cluster(tmp_path: Path) -> None:
    words = sentence(8)
    documents = [record(place, edited(words, [place])) for place in range(60)]
    verdicts = compare(NearDuplicates(), cut(documents, 25), tmp_path)
    assert removed(verdicts) == dict.fromkeys(range(1, 60), 0)
    assert sizes(verdicts) == {0: 60}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jaccard": 0.0}, r"jaccard 0\.0"),
        ({"jaccard": 80.0}, r"jaccard 80\.0"),
        ({"shingle": 0}, "shingle 0"),
        ({"bands": -1}, "bands -1"),
        (
            {"bands": 1_000_000, "rows": 1000},
            "bands 1000000 and rows 1000 make a signature of 1,000,000,000 values: use at most",
        ),
        ({"rows": -1}, "rows -1"),
        ({"rows": 8}, "bands 0 and rows 8"),
        ({"against": ("nowhere",)}, "nowhere"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NearDuplicates(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("similarity", "banding"), [(0.8, (25, 8)), (0.5, (66, 3)), (0.9, (16, 12)), (1.0, (1, 200)), (0.01, (200, 1))]
)
def test_bands_follow_the_similarity(similarity: float, banding: tuple[int, int]) -> None:
    assert minhash.choose_banding(similarity) == banding
    assert NearDuplicates(jaccard=similarity).banding == banding
    assert NearDuplicates(jaccard=similarity, bands=14, rows=7).banding == (14, 7)
