"""Requirements: what they accept, and what they say about a model that falls short."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.methods.checks import Checks
from lmcraft.evaluation.methods.method import Method
from lmcraft.evaluation.methods.perplexity import Perplexity
from lmcraft.evaluation.requirements import MAX_NAMED, Requirement
from lmcraft.evaluation.results import ItemResult, TaskResult, compute_figures
from tests.evaluation.conftest import WriteTask


@pytest.fixture
def methods(write_task: WriteTask) -> list[Method]:
    tests = write_task([{"prompt": "?", "contains": "a"}], kind="checks")
    texts = write_task([{"text": "fox"}], name="texts", kind="perplexity")
    return [Checks(tests, tests.rows()), Perplexity(texts, texts.rows())]


def result_of(num_passed: int, num_failed: int) -> TaskResult:
    items = [ItemResult(n, {"passed": 1.0}, details={"name": f"t{n}", "failures": []}) for n in range(num_passed)]
    items += [
        ItemResult(n, {"passed": 0.0}, details={"name": f"t{n}", "failures": ["it lacks 'a'", "it has 'b'"]})
        for n in range(num_passed, num_passed + num_failed)
    ]
    return TaskResult("toy", compute_figures(Checks.measures, items), None, items, Path("toy.jsonl"), was_cached=False)


def test_a_shortfall_names_the_failed_tests(methods: list[Method]) -> None:
    requirement = Requirement.parse("toy=0.75", methods)
    assert requirement.shortfall([result_of(3, 1)]) == ""
    assert requirement.shortfall([result_of(2, 1)]) == (
        "toy: passed is 0.667, but at least 0.75 is required; failed: t2; the answers and the reasons are in toy.jsonl"
    )
    sentence = requirement.shortfall([result_of(0, MAX_NAMED + 5)])
    assert "t9 and 5 more; " in sentence and "t10" not in sentence


def test_figures_where_less_is_better_must_not_exceed_the_number(methods: list[Method]) -> None:
    requirement = Requirement.parse("texts/bits_per_byte=1.5", methods)
    items = [ItemResult(0, {"bits_per_byte": 16.0}, {"bits_per_byte": 10.0})]
    figures = compute_figures(Perplexity.measures, items)
    result = TaskResult("texts", figures, None, items, Path("texts.jsonl"), was_cached=False)
    assert requirement.shortfall([result]) == (
        "texts: bits_per_byte is 1.600, but at most 1.5 is required; the items are in texts.jsonl"
    )
    assert Requirement.parse("texts/bits_per_byte=1.6", methods).shortfall([result]) == ""
    assert "no item has the figure nats_per_token" in Requirement.parse("texts/nats_per_token=1", methods).shortfall(
        [result]
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("toy", "is not a task and a number: write it as in my-task=0.9"),
        ("toy=", "is not a task and a number"),
        ("=1", "is not a task and a number"),
        ("toy=nan", "is not a task and a number"),
        ("toy=all", "is not a task and a number"),
        ("tox=1", "names no task of this evaluation, which has toy, texts"),
        ("toy/acc=1", "'toy' has no figure 'acc': choose from passed, unfinished"),
        ("toy=90", "passed is a share: write a number from 0 to 1"),
    ],
)
def test_a_requirement_that_cannot_be_met_by_any_model_is_refused(methods: list[Method], setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Requirement.parse(setting, methods)
