"""Exact duplicates: which texts are equal, and which of them stays."""

from pathlib import Path

import pytest

from lmcraft.preparation.stages.duplicates.exact import ExactDuplicates
from tests.preparation.stages.duplicates.steps import compare, record, removed, sizes


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ("The cat sat.", True),
        ("the  CAT\n\tsat. ", True),
        ("Ｔｈｅ cat sat.", True),  # full width
        ("The cat sat", False),
        ("", False),
        ("The ca\u0301t sat.", False),
        ("\ud800", False),
    ],
)
def test_texts_are_equal_without_case_forms_and_white_space(text: str, equal: bool, tmp_path: Path) -> None:
    verdicts = compare(ExactDuplicates(), [[record(0, "The cat sat."), record(1, text)]], tmp_path)
    assert removed(verdicts) == ({1: 0} if equal else {})
    assert sizes(verdicts) == ({0: 2} if equal else {})


def test_the_first_of_the_highest_priority_stays(tmp_path: Path) -> None:
    units = [
        [record(0, "a"), record(1, "b")],
        [record(2, "a", source="books", priority=1), record(3, "a", source="books", priority=1)],
        [record(4, "b"), record(5, "b", priority=-1)],
    ]
    verdicts = compare(ExactDuplicates(), units, tmp_path)
    assert removed(verdicts) == {0: 2, 3: 2, 4: 1, 5: 1}
    assert sizes(verdicts) == {1: 3, 2: 3}
    assert verdicts[record(0, "").id].reason == "exact-duplicate"


@pytest.mark.parametrize(("within", "expected"), [("all", {1: 0, 2: 0}), ("source", {2: 1}), ("language", {2: 0})])
def test_only_documents_of_a_group_are_compared(within: str, expected: dict[int, int], tmp_path: Path) -> None:
    documents = [
        record(0, "a", source="web", language="en"),
        record(1, "a", source="books", language="zh"),
        record(2, "a", source="books", language="en"),
    ]
    assert removed(compare(ExactDuplicates(within=within), [documents], tmp_path)) == expected  # type: ignore[arg-type]


def test_an_earlier_stages_clusters_count(tmp_path: Path) -> None:
    documents = [record(0, "a"), record(1, "a")]
    documents[1].notes["cluster"] = 3
    assert sizes(compare(ExactDuplicates(), [documents], tmp_path)) == {0: 4}


def test_ranges_of_hashes_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [[record(10 * unit + place, f"text {place % 7}") for place in range(10)] for unit in range(3)]
    whole = compare(ExactDuplicates(), units, tmp_path / "whole")
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.exact.RANGE_DOCUMENTS", 3)
    assert compare(ExactDuplicates(), units, tmp_path / "ranges") == whole
    assert len(removed(whole)) == 23


def test_no_documents(tmp_path: Path) -> None:
    assert compare(ExactDuplicates(), [], tmp_path / "none") == {}
    assert compare(ExactDuplicates(), [[], [record(0, "a")], []], tmp_path / "empty") == {}
