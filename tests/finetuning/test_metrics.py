"""Intervals of proportions and of mean losses."""

import json
from dataclasses import asdict
from math import exp, sqrt
from operator import neg

import pytest
import torch

from lmcraft.finetuning.metrics import Metric, describe_metric, mean_loss, perplexity, proportion
from lmcraft.finetuning.packing import PackedRows
from lmcraft.json_lines import format_json
from lmcraft.training.objective import NextToken
from tests.finetuning.chat import random_example
from tests.tiny import tiny_model


def test_wilsons_interval_is_the_textbooks() -> None:
    metric = proportion(8, 10)
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert proportion(0, 5).low == pytest.approx(0, abs=1e-9) and proportion(5, 5).high == pytest.approx(1)


def test_the_interval_of_a_mean_loss_is_that_of_a_ratio_of_sums() -> None:
    model, examples = tiny_model(), [random_example(n, learned_from=n // 2) for n in (9, 17, 5, 20)]
    sums, counts = [], []
    for example in examples:
        logits, targets = model(torch.from_numpy(example.input_ids)[None])[0], torch.from_numpy(example.targets)
        learned = targets >= 0
        sums.append(-float(logits[learned].log_softmax(-1).gather(1, targets[learned][:, None]).sum()))
        counts.append(int(learned.sum()))
    mean = sum(sums) / sum(counts)
    variance = sum((s - mean * c) ** 2 for s, c in zip(sums, counts, strict=True)) * 4 / 3
    metric = mean_loss(model, NextToken(), PackedRows(examples, 40, packing=False))
    assert metric.value == pytest.approx(mean, rel=1e-4)
    assert metric.high - metric.value == pytest.approx(1.959964 * sqrt(variance) / sum(counts), rel=1e-3)


def test_a_single_row_has_no_interval() -> None:
    metric = mean_loss(tiny_model(), NextToken(), PackedRows([random_example(9)], 40))
    assert (metric.low, metric.high) == (None, None) and describe_metric(asdict(metric)) == f"{metric.value:.3f}"
    assert metric.mapped(perplexity) == Metric(exp(metric.value))


def test_intervals_are_finite_numbers() -> None:
    assert Metric(2.0, 1.0, 3.0).mapped(neg) == Metric(-2.0, -3.0, -1.0)
    assert Metric(5.0, -1e3, 1e3).mapped(perplexity) == Metric(exp(5.0))
    assert describe_metric(asdict(Metric(2.0, 1.0, 3.0))) == "2.000 (1.000 to 3.000)"
    assert describe_metric(json.loads(format_json(asdict(Metric(1e4).mapped(perplexity))))) == "infinite"
