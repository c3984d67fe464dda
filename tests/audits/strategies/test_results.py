"""Figures and intervals over seeds and items."""

from dataclasses import replace
from math import exp

import pytest

from lmcraft.audits.strategies.cost import Cost
from lmcraft.audits.strategies.measurement import Measurement
from lmcraft.audits.strategies.results import ArmResult, StrategyComparison, StrategyResult, summarize
from lmcraft.energy import Energy

PROMPTS, TEXTS = 20, 12


def test_figures_and_ratios() -> None:
    baseline = [_result(seed, toxic=16 - seed, loss=3.0 + 0.01 * seed) for seed in (1, 2, 3)]
    better = [_result(seed, toxic=5 - seed, loss=3.01 + 0.01 * seed) for seed in (1, 2, 3)]
    result = summarize("filter", ["filter"], better, baseline)
    assert result.figures["probability"].value == pytest.approx(3 / PROMPTS)
    assert result.figures["perplexity"].value == pytest.approx(sum(exp(3.01 + 0.01 * s) for s in (1, 2, 3)) / 3)
    assert result.ratios["probability"].value == pytest.approx((4 / 15 + 3 / 14 + 2 / 13) / 3)
    assert result.ratios["perplexity"].value == pytest.approx(exp(0.01))
    assert result.figures["joules"].value == 30.0 and result.figures["over_refusal"].value == 0.5
    assert result.figures["probability_after_hostile"].value == pytest.approx(18 / PROMPTS)
    for name in ("probability", "perplexity"):
        for metric in (result.figures[name].over_seeds, result.figures[name].over_items):
            assert metric is not None and metric.low is not None and metric.high is not None
    assert result.pays


@pytest.mark.parametrize(("toxic", "loss", "pays"), [(7, 3.0, True), (9, 3.0, False), (7, 3.028, True), (7, 3.04, False)])
def test_the_bar(toxic: int, loss: float, pays: bool) -> None:
    results = [summary("baseline", 16, 3.0), summary("other", toxic, loss)]
    assert results[1].pays is pays
    verdict = StrategyComparison("x", results, [], []).verdict()
    assert verdict.startswith("other halves" if pays else "no strategy halves")


def test_nothing_toxic_and_no_pairs() -> None:
    harmless = [_result(1, toxic=0, loss=3.0)]
    assert str(summarize("a", [], harmless, harmless).ratios["probability"].value) == "nan"
    result = summarize("a", [], harmless, [_result(2, toxic=3, loss=3.0)])
    assert str(result.ratios["perplexity"].value) == "nan" and not result.pays


def test_strategies_are_compared_on_the_prompts_that_fit_both() -> None:
    shorter = replace(_result(1, toxic=4, loss=3.0), trained=replace(_measurement(4, 3.0, 19), prompts=range(1, PROMPTS)))
    result = summarize("a", [], [shorter], [_result(1, toxic=16, loss=3.0)])
    assert result.figures["probability"].value == pytest.approx(4 / 19)
    assert result.ratios["probability"].value == pytest.approx((4 / 19) / (15 / 19))


def summary(name: str, toxic: int, loss: float) -> StrategyResult:
    return summarize(name, [], [_result(1, toxic, loss)], [_result(1, 16, 3.0)])


def _result(seed: int, toxic: int, loss: float) -> ArmResult:
    return ArmResult(seed, _measurement(toxic, loss), {"hostile": _measurement(18, loss)}, Cost(2.0, 3.0, Energy(30.0)))


def _measurement(toxic: int, loss: float, prompts: int = PROMPTS) -> Measurement:
    is_toxic = [number < toxic for number in range(prompts)]
    return Measurement(
        maxima=[0.9 if flag else 0.1 for flag in is_toxic],
        toxic_shares=[0.2 if flag else 0.0 for flag in is_toxic],
        toxic=is_toxic,
        nats=[loss * (10 + number) + (number % 3 - 1) * 0.5 for number in range(TEXTS)],
        tokens=[10 + number for number in range(TEXTS)],
        refused=[True, False],
        replaced=0.0,
    )
