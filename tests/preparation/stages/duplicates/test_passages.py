"""Repeated passages: which words go, with which sentences, and which documents."""

import random
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from lmcraft.data.words import hash_words
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import DocumentId, Record, Verdict
from lmcraft.preparation.stages.duplicates.cutting import cut_words
from lmcraft.preparation.stages.duplicates.passages import RepeatedPassages
from tests.preparation.stages.duplicates.steps import compare, record

_numbers = count()


def prose(words: int, sentence: int = 10) -> str:
    """Sentences of words that no other text has."""
    start = next(_numbers) * 100_000
    numbers = range(start, start + words)
    return " ".join(f"w{number}" + ("." if (number - start) % sentence == sentence - 1 else "") for number in numbers)


def chinese(characters: int, draw: random.Random) -> str:
    text = "".join(chr(draw.randrange(0x4E00, 0x9F00)) for _ in range(characters))
    return "。".join(text[start : start + 15] for start in range(0, characters, 15)) + "。"


def judge(documents: list[Record], work: Path, unit: int = 100, **settings: object) -> dict[int, Verdict]:
    units = [documents[start : start + unit] for start in range(0, len(documents), unit)]
    verdicts = compare(RepeatedPassages(**settings), units, work)  # type: ignore[arg-type]
    return {own.position: verdict for own, verdict in verdicts.items()}


@pytest.mark.parametrize("shared", [50, 60, 200])
def test_a_repeated_passage_is_cut_from_the_later_document(shared: int, tmp_path: Path) -> None:
    passage, before, after = prose(shared), prose(300), prose(300)
    documents = [record(0, f"{prose(80)}\n{passage}\n{prose(40)}"), record(1, f"{before}\n\n{passage}\n\n{after}")]
    verdicts = judge(documents, tmp_path, unit=1)
    assert list(verdicts) == [1]
    assert verdicts[1].text == f"{before}\n\n{after}"
    assert verdicts[1].reason == "repeated-passage"
    assert verdicts[1].match == DocumentId(0, 0, 0)
    assert verdicts[1].evidence == passage[:300]
    assert verdicts[1].value == pytest.approx(shared / (600 + shared), abs=1e-4)


def test_shorter_passages_stay(tmp_path: Path) -> None:
    passage = prose(49)
    assert judge([record(0, f"{passage} {prose(100)}"), record(1, f"{prose(100)} {passage}")], tmp_path) == {}


def test_a_passage_without_sentences_is_cut_between_words(tmp_path: Path) -> None:
    passage, before, after = (prose(200, sentence=1000) for _ in range(3))
    verdicts = judge([record(0, passage), record(1, f"{before} {passage} {after}")], tmp_path)
    assert verdicts[1].text == f"{before} {after}"


def test_a_passage_inside_a_document_is_cut_where_it_repeats(tmp_path: Path) -> None:
    passage, rest = prose(100), prose(200)
    verdicts = judge([record(0, f"{passage}\n{rest}\n{passage}")], tmp_path)
    assert verdicts[0].text == f"{passage}\n{rest}"
    assert verdicts[0].match == DocumentId(0, 0, 0)


def test_endless_repetition_ends(tmp_path: Path) -> None:
    verdicts = judge([record(0, "la " * 20_000), record(1, "啦" * 20_000)], tmp_path)
    assert verdicts[0].reason == verdicts[1].reason == "mostly-repeated"


def test_chinese_passages_of_85_characters(tmp_path: Path) -> None:
    draw = random.Random(1)
    short, long = chinese(75, draw), chinese(90, draw)
    rests = [chinese(300, draw) for _ in range(4)]
    documents = [
        record(0, rests[0] + long),
        record(1, rests[1] + long + rests[2]),
        record(2, short + rests[3]),
        record(3, chinese(300, draw) + short),
    ]
    verdicts = judge(documents, tmp_path)
    assert list(verdicts) == [1]
    assert verdicts[1].text == rests[1] + rests[2]


@pytest.mark.parametrize(("rest", "reason"), [(300, "repeated-passage"), (100, "mostly-repeated"), (0, "mostly-repeated")])
def test_a_document_of_which_little_stays_goes(rest: int, reason: str, tmp_path: Path) -> None:
    passage = prose(120)
    verdict = judge([record(0, passage), record(1, f"{passage}\n{prose(rest)}")], tmp_path)[1]
    assert verdict.reason == reason
    assert (verdict.text is None) == (reason == "mostly-repeated")


def test_documents_can_be_dropped(tmp_path: Path) -> None:
    passage = prose(60)
    verdict = judge([record(0, passage), record(1, f"{prose(900)}\n{passage}")], tmp_path, action="drop")[1]
    assert (verdict.reason, verdict.text) == ("repeated-passage", None)


def test_the_place_of_highest_priority_stays(tmp_path: Path) -> None:
    passage = prose(100)
    documents = [record(0, f"{prose(200)}\n{passage}"), record(1, f"{passage}\n{prose(300)}", source="books", priority=1)]
    assert list(judge(documents, tmp_path)) == [0]
    assert judge(documents, tmp_path / "within", within="source") == {}


def test_source_code_stays(tmp_path: Path) -> None:
    documents = [record(place, prose(0) + "import this thing now " * 30) for place in range(2)]
    for own in documents:
        own.notes["kind"] = "code"
    assert judge(documents, tmp_path) == {}


def test_neither_units_nor_ranges_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    passages = [prose(70) for _ in range(30)]
    documents = [record(place, "\n".join([prose(150), *draw.sample(passages, 2), prose(100)])) for place in range(60)]
    expected = judge(documents, tmp_path / "one")
    assert len(expected) > 30
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.spans.RANGE_BYTES", 10_000)
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.corpus.GROUP_DOCUMENTS", 20)
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.spans.BLOCK_DOCUMENTS", 7)
    assert judge(documents, tmp_path / "many", unit=9) == expected


@pytest.mark.parametrize(
    "text", ["", "one", "a. b! c? d", "x\n\n\n\ny", "e\u0301te\u0301. ﬁne …", "日本語。한국어 text", "no\ud800pe. yes"]
)
def test_nothing_is_cut_where_nothing_is_covered(text: str) -> None:
    assert cut_words(text, np.zeros(len(hash_words(text)), dtype=bool)) is None


@pytest.mark.parametrize(
    "text", ["a. b! c? d", "e\u0301te\u0301. ﬁne … ½", "日本語。한국어 text\n\u3099が. x", "1,5 a_b c-d\r\ne’s f"]
)
def test_everything_is_cut_where_everything_is_covered(text: str) -> None:
    cut = cut_words(text, np.ones(len(hash_words(text)), dtype=bool))
    assert cut is not None
    assert cut[0] == ""


def test_few_words_are_refused() -> None:
    with pytest.raises(UserError, match="min_words 5 is too small"):
        RepeatedPassages(min_words=5)
