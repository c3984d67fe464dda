"""Models compared on the same items."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from lmcraft.evaluation.compared import ComparedTask, Difference
from lmcraft.evaluation.comparison import compare_tasks
from lmcraft.evaluation.methods import Method
from lmcraft.evaluation.results import CALIBRATION, ItemResult, Measure, TaskResult
from lmcraft.evaluation.run import open_method
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.multiple import adjusted_p_values
from tests.evaluation.conftest import WriteTask

COUNT = 40
MEASURES = (Measure("acc"), Measure("bits", "ratio", higher_is_better=False), Measure("score", "mean"), *CALIBRATION)
SKILLS = {"a": 0.4, "b": 0.5, "c": 0.95}


@pytest.fixture
def method(write_task: WriteTask) -> Method:
    rows = [{"question": f"<b>{n}</b>", "endings": ["fox", "dogs"], "label": n % 2} for n in range(COUNT)]
    task = write_task(rows, kind="multiple_choice", prompt="{{ question }}", choices="endings", answer="label")
    method = open_method(task)
    method.measures = MEASURES  # type: ignore[misc]
    return method


def results_of(skill: float, *, seed: int = 0, bytes_per_item: float = 3, clusters: int = 0) -> list[ItemResult]:
    """Random results; the same seed makes the same items hard."""
    ease, noise = np.random.default_rng(seed).random((2, COUNT))
    results = []
    for n in range(COUNT):
        right = float(ease[n] < skill)
        values = {
            "acc": right,
            "bits": 5 - skill + noise[n],
            "score": skill * ease[n],
            "brier": noise[n] * right,
            "ece": ease[n],
        }
        cluster = f"passage {n % clusters}" if clusters else ""
        choice = n % 2 if right else 1 - n % 2
        results.append(ItemResult(n, values, {"bits": bytes_per_item + n}, cluster, {"choice": choice}))
    return results


def compare(
    method: Method, items: Mapping[str, Sequence[ItemResult]], name: str = "toy"
) -> tuple[list[ComparedTask], list[str]]:
    results = {model: TaskResult(name, (), 0.5, list(own), Path(), True) for model, own in items.items()}
    return compare_tasks({name: method}, {name: results})


def negated(metric: Metric) -> Metric:
    assert metric.low is not None and metric.high is not None
    return Metric(-metric.value, -metric.high, -metric.low)


def near(first: Difference, second: Difference) -> bool:
    numbers = [[d.gain.value, d.gain.low, d.gain.high, d.p_value, d.adjusted_p_value, d.detectable] for d in (first, second)]
    return numbers[0] == pytest.approx(numbers[1], abs=2e-3, nan_ok=True) and first.test == second.test


@pytest.mark.parametrize("clusters", [0, 8])
def test_swapping_two_models_mirrors_everything(method: Method, clusters: int) -> None:
    items = {name: results_of(SKILLS[name], clusters=clusters) for name in "ab"}
    [task], _ = compare(method, items)
    [swapped], _ = compare(method, {name: items[name] for name in "ba"})
    for figure, other in zip(task.figures, swapped.figures, strict=True):
        assert figure.metrics == other.metrics and figure.tied_with == other.tied_with
        difference, opposite = figure.differences["a", "b"], other.differences["b", "a"]
        mirrored = Difference(
            negated(opposite.gain), opposite.p_value, opposite.adjusted_p_value, opposite.detectable, opposite.test
        )
        assert near(difference, mirrored), figure.measure
        assert figure.better(("a", "b")) == other.better(("b", "a"))
        exact = figure.measure.form != "calibration"  # its interval comes from random samples
        assert not exact or difference.gain.value == pytest.approx(-opposite.gain.value, abs=1e-12)
    by_item = {item.origin: item for item in swapped.differing}
    assert len(by_item) == len(task.differing) > 0
    for item in task.differing:
        assert by_item[item.origin].best == item.best and by_item[item.origin].answers == item.answers


def test_a_better_model_is_named_in_the_direction_of_the_figure(method: Method) -> None:
    [task], _ = compare(method, {"a": results_of(0.3), "c": results_of(0.95)})
    better = {figure.measure.name: figure.better(("a", "c")) for figure in task.figures}
    assert (better["acc"], better["bits"], better["score"], better["brier"]) == ("c", "c", "c", "a")
    assert [figure.differences["a", "c"].test for figure in task.figures[:2]] == ["exact McNemar", "paired t"]
    assert all(figure.differences["a", "c"].detectable > 0 for figure in task.figures[:3])


def test_ties_are_sets_and_all_pairs_are_compared(method: Method) -> None:
    [task], _ = compare(method, {name: results_of(skill) for name, skill in SKILLS.items()})
    accuracy = task.figures[0]
    assert accuracy.tied_with == {"a": ["b"], "b": ["a"], "c": []}
    assert list(accuracy.differences) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_p_values_are_adjusted_over_all_tasks(method: Method) -> None:
    items = {name: TaskResult("", (), None, results_of(SKILLS[name]), Path(), True) for name in "ab"}
    tasks, _ = compare_tasks({"one": method, "two": method}, {"one": items, "two": items})
    differences = [figure.differences["a", "b"] for task in tasks for figure in task.figures]
    assert len(differences) == 2 * len(MEASURES)
    assert [d.adjusted_p_value for d in differences] == adjusted_p_values([d.p_value for d in differences])


def test_sums_divided_by_different_things_are_not_compared(method: Method) -> None:
    """Such as nats per token of two tokenizers."""
    [task], _ = compare(method, {"a": results_of(0.4), "b": results_of(0.5, bytes_per_item=7)})
    bits = task.figures[1]
    assert not bits.differences and not bits.tied_with and set(bits.metrics) == {"a", "b"}
    assert task.figures[0].differences


def test_only_items_with_a_result_of_every_model_are_compared(method: Method) -> None:
    first, second = results_of(0.4), results_of(0.5)
    [task], notes = compare(method, {"a": first[:30], "b": list(reversed(second[10:]))})
    assert task.figures[0].count == 20 and not notes
    assert task.figures[0].metrics["a"].value == np.mean([result.values["acc"] for result in first[10:30]])
    assert compare(method, {"a": first[:10], "b": second[10:]}) == (
        [],
        ["task 'toy' is not compared: no item has a result of every model"],
    )
    assert compare(method, {"a": first}) == ([], ["task 'toy' is not compared: fewer than two models have results"])


def test_items_on_which_models_differ_show_what_each_answered(method: Method) -> None:
    [task], _ = compare(method, {name: results_of(skill) for name, skill in SKILLS.items()})
    assert task.judged_by.name == "acc"
    assert {item.best for item in task.differing} <= {("c",), ("b", "c"), ("a", "b", "c")} and task.differing
    item = task.differing[0]
    assert item.origin.startswith("toy.jsonl:") and item.question.startswith("<b>")
    assert all((answer == item.gold) == (name in item.best) for name, answer in item.answers.items())


def test_without_right_and_wrong_the_largest_differences_come_first(method: Method) -> None:
    method.measures = MEASURES[1:2]  # type: ignore[misc]
    [task], _ = compare(method, {"a": results_of(0.4), "b": results_of(0.5, seed=1)})
    spreads = [abs(item.numbers["a"] - item.numbers["b"]) for item in task.differing]
    assert spreads == sorted(spreads, reverse=True) and len(spreads) == COUNT
    assert all(item.best == (min(item.numbers, key=item.numbers.__getitem__),) for item in task.differing)
