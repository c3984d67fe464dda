"""`lmcraft review status`."""

import json
from pathlib import Path

import pytest

from lmcraft import review_status
from lmcraft.annotation.store import ReviewStore
from lmcraft.cli import main
from tests.annotation.samples import HARM, add_texts, judge_next


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    store = ReviewStore.open(tmp_path / "reviews.sqlite")
    store.add_guideline(HARM, "ann")
    store.close()
    return str(tmp_path / "reviews.sqlite")


def fill(reviews: str) -> None:
    store = ReviewStore.open(reviews)
    add_texts(store, *(f"text {number}" for number in range(6)))
    for label in ("harmful", "acceptable"):
        for person in ("ann", "安娜"):
            judge_next(store, person, label, seconds=12.0)
    store.close()


def test_states_reviewers_and_agreement_are_printed(reviews: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(reviews)
    assert main(["review", "status", reviews]) == 0
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    assert "guideline harm, version 1" in printed and ["pending", "4"] in cells and ["reviewed", "2"] in cells
    assert ["Krippendorff's alpha", "1.00"] in [[name, value[:4]] for name, value, *_ in cells]
    assert [row[:2] for row in cells if row[0] in ("ann", "安娜")] == [["ann", "2"], ["安娜", "2"]]
    assert main(["review", "status", reviews, "--guideline", "harm", "--json"]) == 0
    [status] = json.loads(capsys.readouterr().out)
    assert (status["guideline"], status["counts"]["pending"], status["agreement"]["votes"]) == ("harm", 4, 4)
    assert review_status(reviews)[0]["agreement"]["raters"][0]["reviewer"] == "ann"


def test_an_empty_store(reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "status", reviews]) == 0
    assert "no verdicts yet" in capsys.readouterr().out
    ReviewStore.open(tmp_path / "empty.sqlite").close()
    assert main(["review", "status", str(tmp_path / "empty.sqlite")]) == 0
    assert "has no guidelines: add one with `lmcraft review guideline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["missing.sqlite"], "does not exist"), (["", "--guideline", "other"], "there is no guideline 'other'")],
)
def test_bad_input_has_status_2(
    reviews: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "status", arguments[0] or reviews, *arguments[1:]]) == 2
    assert message in capsys.readouterr().err
