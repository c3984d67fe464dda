import json
from pathlib import Path

import pytest

from lmcraft import review_sample
from lmcraft.annotation.guidelines.samples import describe_plan
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError

GUIDELINE = """\
+++
name = "manners"
kind = "label"
title = "Manners"
labels = [
  { name = "polite", outcome = "accept", title = "Polite" },
  { name = "rude", outcome = "reject", title = "Rude" },
]

[[sampling]]
name = "answers"
title = "Answers"
size = 10
labels = ["polite"]
at_least = 0.9
by = "topic"
+++
## M1 Manners
Be polite.
"""


@pytest.fixture
def guideline(tmp_path: Path) -> str:
    (tmp_path / "manners.md").write_text(GUIDELINE)
    rows = [{"prompt": f"Question {n}?", "answer": "Yes.", "topic": "ab"[n % 2]} for n in range(40)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "No answer"}]))
    return str(tmp_path / "manners.md")


def test_a_sample_is_drawn_into_the_queue(guideline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    location, pool = str(tmp_path / "reviews.sqlite"), (str(tmp_path / "pool.jsonl"),)
    added = review_sample(location, pool, guideline=guideline, stratum="answers", seed=3, actor="ann")
    assert added == {"pool": 40, "drawn": 10, "new": 10}
    assert "drew 10 of 40 items in 2 groups; 10 of them are new in the queue of manners" in capsys.readouterr().out
    assert review_sample(location, pool, guideline="manners", stratum="answers", seed=3, actor="ann")["new"] == 0
    output = capsys.readouterr().out
    assert "was drawn before; nothing changed" in output
    assert "pool.jsonl:41: it has a question without an answer" in output
    store = ReviewStore.open(location)
    assert describe_plan(store, "manners") == ["answers: 0 of 10 settled"]
    store.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stratum": "all"}, "has no sampling 'all': use one of answers"),
        ({"files": ("none.jsonl",)}, "'none.jsonl' does not exist"),
        ({"files": ()}, "files is empty"),
        (
            {"group_field": "subject"},
            r"the pool has 0 items.*malformed rows: 41; the first is .*pool.jsonl:1: it has no column 'subject'",
        ),
        ({"guideline": "harm"}, "guideline 'harm' has no sampling plan"),
    ],
    ids=["stratum", "missing", "none", "groups", "plan"],
)
def test_what_cannot_be_drawn(settings: dict[str, object], message: str, guideline: str, tmp_path: Path) -> None:
    values = {
        "files": (str(tmp_path / "pool.jsonl"),),
        "guideline": guideline,
        "stratum": "answers",
        "actor": "ann",
    } | settings
    with pytest.raises(UserError, match=message):
        review_sample(store=str(tmp_path / "reviews.sqlite"), **values)
