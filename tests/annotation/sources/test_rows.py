from typing import Any

import pytest

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.sources.rows import ItemFormat, item_of_row
from lmcraft.errors import UserError

HARM, BETTER = open_guideline("harm"), open_guideline("helpful_harmless")
QUESTION = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
DECISION = {"stage": "answer", "action": "review", "scores": {"hate": 0.6}, "categories": ["hate"]}


def _item(row: Any, **settings: Any) -> NewItem:
    return item_of_row(row, ItemFormat(**{"guideline": HARM, **settings}), "rows.jsonl", 7)


@pytest.mark.parametrize(
    ("row", "subject", "messages", "answer"),
    [
        ({"text": "A page."}, "document", [], "A page."),
        ("A page.", "document", [], "A page."),
        ({"prompt": "Why?"}, "prompt", [], "Why?"),
        ({"prompt": "Why?", "answer": None}, "prompt", [], "Why?"),
        ({"prompt": "Why?", "answer": "Because."}, "answer", [QUESTION], "Because."),
        ({"messages": [QUESTION, ANSWER]}, "answer", [QUESTION], "Because."),
        ({"messages": [QUESTION, ANSWER, QUESTION]}, "prompt", [QUESTION, ANSWER], "Why?"),
        (
            {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
            "answer",
            [QUESTION],
            "Because.",
        ),
        ({"text": "Because.", "decision": DECISION, "messages": [QUESTION]}, "answer", [QUESTION], "Because."),
        ({"text": "A page.", "decision": {**DECISION, "stage": "training"}}, "document", [], "A page."),
        ({"subject": "prompt", "answers": ["Why?"]}, "prompt", [], "Why?"),
        ({"text": "bad", "label": "rude"}, "document", [], "bad"),
        ({"messages": "[" + '{"role": "user", "content": "Why?"}' + "]"}, "prompt", [], "Why?"),
    ],
    ids=[
        "text",
        "string",
        "prompt",
        "no-answer",
        "answer",
        "messages",
        "question",
        "sharegpt",
        "record",
        "filter",
        "item",
        "label",
        "csv",
    ],
)
def test_a_row_becomes_an_item(row: Any, subject: str, messages: list[dict[str, str]], answer: str) -> None:
    item = _item(row)
    assert (item.subject, list(item.messages), list(item.answers)) == (subject, messages, [answer])
    assert item.origin == {"file": "rows.jsonl", "line": 7}
    assert (item.guideline, item.source) == ("harm", "file")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "answer_a": "One.", "answer_b": "Two."},
        {"prompt": "Why?", "chosen": "One.", "rejected": "Two."},
        {"messages": [QUESTION], "answers": ["One.", "Two."]},
        {
            "chosen": [QUESTION, {"role": "assistant", "content": "One."}],
            "rejected": [QUESTION, {"role": "assistant", "content": "Two."}],
        },
    ],
    ids=["pair", "preference", "item", "conversations"],
)
def test_two_answers(row: dict[str, Any]) -> None:
    item = _item(row, guideline=BETTER)
    assert (list(item.messages), list(item.answers)) == ([QUESTION], ["One.", "Two."])
    with pytest.raises(UserError, match="it has 2 answers, but guideline 'harm' judges one"):
        _item(row)


@pytest.mark.parametrize("answer", ["", " \n\u3000"])
def test_an_empty_answer_does_not_make_its_question_the_item(answer: str) -> None:
    for row in ({"prompt": "Why?", "answer": answer}, {"messages": [QUESTION], "Response": answer}):
        with pytest.raises(UserError, match=r"its (answer|Response) is empty: write it, or remove the row"):
            _item(row)
        assert _item(row, subject="prompt").answers == ["Why?"]
    for row in ({"messages": [QUESTION, {"role": "assistant", "content": answer}]}, {"prompt": "Why?", "answers": [answer]}):
        with pytest.raises(UserError, match="is empty"):
            _item(row)
    with pytest.raises(UserError, match="its answer_b is empty: write it"):
        _item({"prompt": "Why?", "answer_a": "One.", "answer_b": answer}, guideline=BETTER)


def test_another_field_of_texts() -> None:
    item = _item({"meta": {"body": "Because."}, "prompt": "Why?", "text": "x"}, text_field="meta.body")
    assert (item.subject, list(item.messages), list(item.answers)) == ("answer", [QUESTION], ["Because."])
    with pytest.raises(UserError, match="it has no column 'body': its columns are text"):
        _item({"text": "x"}, text_field="body")


def test_a_question_is_no_answer() -> None:
    with pytest.raises(UserError, match="it has a question without an answer"):
        _item({"prompt": "Why?"}, subject="answer")


def test_what_a_decision_says_orders_the_queue_and_stays_hidden() -> None:
    item = _item({"text": "Because.", "decision": DECISION, "owner": "ann", "id": "x"})
    assert (item.severity, item.decision) == (0.8, DECISION)
    assert item.uncertainty == pytest.approx(0.8)
    assert "ann" not in repr(item)


def test_optional_columns() -> None:
    row = {
        "text": "A page.",
        "traffic": "12",
        "severity": 0.5,
        "uncertainty": "1",
        "language": "zh",
        "meta": {"site": "a.org"},
    }
    item = _item(row | {"expected": {"label": "harmful", "rule": "H4"}}, group_field="meta.site")
    assert (item.traffic, item.severity, item.uncertainty) == (12, 0.5, 1.0)
    assert item.expected == ExpectedVerdict("harmful", "H4")
    assert item.origin == {"file": "rows.jsonl", "line": 7, "language": "zh", "group": "a.org"}


@pytest.mark.parametrize(
    "verdict",
    [{"label": "harmful", "rule": "H4"}, {"expected": {"label": "harmful", "rule": "H4"}, "label": 3}],
    ids=["columns", "expected"],
)
def test_gold_items_have_a_verdict(verdict: dict[str, Any]) -> None:
    row = {"prompt": "Why?", "answer": "Because."}
    assert _item(row | verdict, gold=True).expected == ExpectedVerdict("harmful", "H4")
    assert _item(row | {"label": "harmful", "rule": None}, gold=True).expected == ExpectedVerdict("harmful")
    with pytest.raises(UserError, match="it has no label, so it cannot be a gold item"):
        _item(row, gold=True)
    assert _item(row | {"label": "harmful"}).expected is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (3, "it is the number 3, not an object"),
        ({"txt": "A page."}, "match no known format: use text; prompt and answer"),
        ({"text": " "}, "what is to be judged is empty"),
        ({}, "it is empty: remove the row"),
        ({"text": None}, "its text is null, not text"),
        ({"prompt": "Why?", "text": "Because."}, "it has a prompt and a text"),
        ({"text": "x\ud800"}, "half of a character"),
        ({"messages": []}, "its messages are empty"),
        ({"prompt": "Why?", "answer_a": "One.", "answer_b": None}, "its answer_b is empty"),
        ({"text": "A page.", "traffic": -1}, "its traffic is -1: use a whole number from 1"),
        ({"text": "A page.", "traffic": 1.5}, "its traffic is 1.5"),
        ({"text": "A page.", "severity": "high"}, "its severity is 'high': use a number from 0 to 1"),
        ({"text": "A page.", "severity": 1e400}, "its severity is inf"),
        ({"text": "A page.", "severity": 10**400}, "its severity is 1000"),
        ({"text": "A page.", "expected": {"label": "evil"}}, "expected label 'evil' is not one of"),
        ({"text": "A page.", "expected": {"label": "harmful", "rule": "X1"}}, "expected rule 'X1' is not one of"),
        ({"text": "A page.", "expected": {"rule": "H1"}}, "its expected verdict has no label"),
        ({"subject": "poem", "answers": ["A"]}, "its subject 'poem' is unknown"),
        ({"answers": []}, "it has 0 answers"),
    ],
)
def test_a_row_that_cannot_be_used(row: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        _item(row)
    assert message in str(error.value)
