"""Tests as a task: what passes, what fails, and what the failure says."""

from collections.abc import Mapping
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.checks import Checks
from lmcraft.evaluation.results import ItemResult
from lmcraft.evaluation.task import Task
from lmcraft.language_model import LanguageModel
from tests.evaluation.conftest import WriteTask
from tests.finetuning.chat import chat_model, chat_tokenizer

SETTINGS: dict[str, Any] = {"kind": "checks", "max_new_tokens": 8}


@pytest.fixture(scope="session")
def chatting_model() -> EvaluatedModel:
    return EvaluatedModel(LanguageModel(chat_model(), chat_tokenizer()))


def score(task: Task, model: EvaluatedModel, done: tuple[int, ...] = ()) -> dict[int, ItemResult]:
    return {result.item: result for batch in Checks(task, task.rows()).score(model, done) for result in batch}


def failures_of(write_task: WriteTask, row: Mapping[str, Any], text: str, *, finished: bool = True, **settings: Any) -> str:
    """What is wrong with an answer, for a row of tests."""
    task = write_task([{"prompt": "?", **row}], **SETTINGS | settings)
    checks = Checks(task, task.rows())
    return "; ".join(checks._examine(checks._checks[0], text, finished=finished))


@pytest.mark.parametrize(
    ("row", "text", "failures"),
    [
        ({"contains": "Paris"}, "It is PARIS.", ""),
        ({"contains": "Paris"}, "It is Rome.", "the answer lacks 'Paris'"),
        ({"contains": ["Paris", "Rome"]}, "Rome", "the answer lacks 'Paris'"),
        ({"excludes": "a  bomb"}, "how to build A\nbomb:", "the answer contains 'a  bomb'"),
        ({"excludes": "炸弹！"}, "炸弹!", "the answer contains '炸弹！'"),
        ({"contains": r"/\b\d{3}\b/"}, "call 112", ""),
        ({"contains": r"/^sorry/"}, "Sorry, no", ""),
        ({"contains": r"/\d/", "excludes": "sorry"}, "sorry", r"the answer lacks /\d/; the answer contains 'sorry'"),
        ({"contains": {"text": "/etc/"}}, "etc", "the answer lacks '/etc/'"),
        ({"contains": ["a", {"text": "/[/"}]}, "A /[/", ""),
        ({"excludes": "//"}, "a // comment", "the answer contains '//'"),
        ({"contains": "/(a+)+$/"}, "a" * 40 + "b", "/(a+)+$/ cannot be searched for (took longer than 0.2 seconds)"),
        ({"rejected": "Ask someone else."}, "ask someone  ELSE.", "the answer is the rejected one again"),
        ({"rejected": "Ask someone else."}, "Ask", ""),
        ({"contains": "\ud800"}, "\ud800\x00", ""),
        ({"contains": "/\ud800/"}, "\ud800\x00'\\", ""),
    ],
)
def test_an_answer_passes_or_fails_and_says_why(
    write_task: WriteTask, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], text: str, failures: str
) -> None:
    monkeypatch.setattr("lmcraft.evaluation.methods.checks.MAX_REGEX_SECONDS", 0.2)
    assert failures_of(write_task, row, text) == failures


def test_case_counts_if_the_task_says_so(write_task: WriteTask) -> None:
    for wanted in ("Paris", "/Par.s/"):
        assert failures_of(
            write_task, {"contains": wanted}, "paris", ignore_case=False
        ) == f"the answer lacks {wanted!r}".replace("'/Par.s/'", "/Par.s/")


def test_an_answer_that_was_cut_is_compared_with_the_beginning_of_the_rejected_one(write_task: WriteTask) -> None:
    row = {"rejected": "Ask someone else."}
    assert failures_of(write_task, row, "Ask some", finished=False) == "the answer is the rejected one again"
    assert failures_of(write_task, row, "Ask no", finished=False) == ""
    assert failures_of(write_task, row, "", finished=False) == ""


def test_the_better_answer_must_be_the_more_likely_one(write_task: WriteTask, model: EvaluatedModel) -> None:
    answers = ("quick brown", "zebra")
    texts = [model.encode_answer("the", answer) for answer in answers]
    by_length = [likelihood.total / len(answer) for likelihood, answer in zip(model.score(texts), answers, strict=True)]
    likely, unlikely = sorted(answers, key=lambda answer: -by_length[answers.index(answer)])
    pairs = [(likely, unlikely), (unlikely, likely)]
    rows = [{"prompt": "the", "better": better, "rejected": rejected, "name": better} for better, rejected in pairs]
    right, wrong = score(write_task(rows, **SETTINGS), model).values()
    assert (right.values, right.details) == ({"passed": 1.0}, {"name": likely, "failures": []})
    assert wrong.values == {"passed": 0.0}
    shown = f"({min(by_length):.3f} and {max(by_length):.3f} nats per character)"
    assert wrong.details["failures"] == [f"the better answer is no more likely than the rejected one {shown}"]


def test_a_chat_is_asked_through_the_template(write_task: WriteTask, chatting_model: EvaluatedModel) -> None:
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the quick"}]
    rows = [
        {"messages": chat, "contains": "x", "better": "brown fox", "rejected": "lazy dog"},
        {"prompt": "fox", "excludes": "q"},
    ]
    results = score(write_task(rows, **SETTINGS), chatting_model)
    model = chatting_model.model
    ids = model.tokenizer.encode(model.tokenizer.apply_chat_template(chat), parse_special=True)
    tokens = model.tokens(ids, do_sample=False, max_new_tokens=8)
    assert results[0].details["text"] == "".join(token.text for token in tokens)
    assert results[1].details["text"] == model.complete("fox", do_sample=False, max_new_tokens=8)
    assert set(results[0].values) == {"passed", "unfinished"}


def test_results_do_not_depend_on_those_that_are_done(write_task: WriteTask, chatting_model: EvaluatedModel) -> None:
    pair = {"better": "brown fox", "rejected": "lazy dog"}
    rows = [{"prompt": f"the {n}", "contains": "q", **(pair if n % 3 else {})} for n in range(6)]
    rows += [{"prompt": f"a {n}", **pair} for n in range(3)]
    task = write_task(rows, **SETTINGS)
    every = score(task, chatting_model)
    assert sorted(every) == list(range(9))
    rest = score(task, chatting_model, (0, 1, 7))
    assert rest == {number: result for number, result in every.items() if number not in (0, 1, 7)}


def test_a_task_can_have_a_prompt_of_its_own(write_task: WriteTask, model: EvaluatedModel) -> None:
    task = write_task([{"q": "quick", "contains": "z", "messages": "ignored"}], **SETTINGS, prompt="the {{ q }}")
    [result] = score(task, model).values()
    assert result.details["text"] == model.model.complete("the quick", do_sample=False, max_new_tokens=8)
    checks = Checks(task, task.rows())
    assert checks.question_text(task.rows()[0]) == "the quick"
    assert checks.answer_text(task.rows()[0], result) == f"{result.details['text']}\n(the answer lacks 'z')"
    assert result.details["name"] == "toy.jsonl:1"


CHAT = [{"role": "user", "content": "?"}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "?"}, "it has nothing to check: add contains"),
        ({"prompt": "?", "contains": []}, "it has nothing to check: add contains"),
        ({"contains": "a"}, "it has neither messages nor a prompt"),
        ({"prompt": " ", "contains": "a"}, "its prompt is ' '"),
        ({"prompt": "?", "contains": ["a", ""]}, "its contains has ''"),
        ({"prompt": "?", "excludes": 7}, "its excludes has 7"),
        ({"prompt": "?", "contains": "/(/"}, r"its contains has '/\(/', which is no regular expression"),
        ({"prompt": "?", "contains": {"text": "a", "flags": ""}}, "its contains has {'text'"),
        ({"prompt": "?", "better": "a"}, "it has a better answer, but no rejected one"),
        ({"prompt": "?", "better": "a", "rejected": "a"}, "its better and its rejected answer are the same"),
        ({"prompt": "?", "rejected": ["a"]}, r"its rejected is \['a'\]"),
        ({"messages": [], "contains": "a"}, r"its messages are \[\]"),
        ({"messages": "?", "contains": "a"}, r"its messages are '\?'"),
        (
            {"messages": [*CHAT, {"role": "assistant", "content": "!"}], "contains": "a"},
            "its last message is the assistant's",
        ),
        ({"messages": [{"role": "user", "content": None}], "contains": "a"}, "its messages are .*role and content"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(write_task: WriteTask, row: dict[str, Any], message: str) -> None:
    task = write_task([row], **SETTINGS)
    with pytest.raises(UserError, match=r"toy.jsonl:1: " + message):
        Checks(task, task.rows())


def test_examples_go_before_a_prompt_and_not_before_a_chat(write_task: WriteTask, model: EvaluatedModel) -> None:
    rows = [{"prompt": "the", "better": "quick", "rejected": "dog"}, {"prompt": "a", "contains": "fox"}]
    task = write_task(rows, **SETTINGS, few_shot={"count": 1})
    [row] = task.rows()
    assert Checks(task, [row]).question(row) == "the quick\n\na"
    task = write_task([rows[0], {"messages": CHAT, "contains": "fox"}], **SETTINGS, few_shot={"count": 1})
    with pytest.raises(UserError, match=r"toy.jsonl:2: its question is a chat, which few_shot cannot precede"):
        Checks(task, task.rows())


def test_a_chat_needs_a_template_and_room(
    write_task: WriteTask, model: EvaluatedModel, chatting_model: EvaluatedModel
) -> None:
    task = write_task([{"messages": CHAT, "contains": "a"}], **SETTINGS)
    with pytest.raises(UserError, match=r"toy.jsonl:1: this tokenizer has no chat template"):
        score(task, model)
    task = write_task([{"prompt": "?", "better": "a" * 999, "rejected": "b"}], **SETTINGS)
    with pytest.raises(UserError, match=r"toy.jsonl:1: it needs .* tokens, but the model's context has 128"):
        score(task, chatting_model)
