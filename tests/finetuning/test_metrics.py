"""The interval of mean losses."""

from dataclasses import asdict
from math import exp, sqrt

import pytest
import torch

from lmcraft.finetuning.metrics import mean_loss
from lmcraft.finetuning.packing import PackedRows
from lmcraft.statistics.distributions import t_quantile
from lmcraft.statistics.intervals import Metric, describe_metric, estimate_ratio, perplexity
from lmcraft.training.objective import NextToken
from tests.finetuning.chat import random_example
from tests.tiny import tiny_model


def test_the_interval_of_a_mean_loss_is_that_of_a_ratio_of_sums() -> None:
    model, examples = tiny_model(), [random_example(n, learned_from=n // 2) for n in (9, 17, 5, 20)]
    sums, counts = [], []
    for example in examples:
        logits, targets = model(torch.from_numpy(example.input_ids)[None])[0], torch.from_numpy(example.targets)
        learned = targets >= 0
        sums.append(-float(logits[learned].log_softmax(-1).gather(1, targets[learned][:, None]).sum()))
        counts.append(int(learned.sum()))
    total = sum(counts)
    mean = sum(sums) / total
    variance = sum((s - mean * c) ** 2 / (1 - c / total) for s, c in zip(sums, counts, strict=True))
    metric = mean_loss(model, NextToken(), PackedRows(examples, 40, packing=False))
    assert metric.value == pytest.approx(mean, rel=1e-4)
    degrees = estimate_ratio(sums, counts).degrees
    assert metric.high - metric.value == pytest.approx(t_quantile(0.975, degrees) * sqrt(variance) / total, rel=1e-3)


def test_a_single_row_has_no_interval() -> None:
    metric = mean_loss(tiny_model(), NextToken(), PackedRows([random_example(9)], 40))
    assert (metric.low, metric.high) == (None, None) and describe_metric(asdict(metric)) == f"{metric.value:.3f}"
    assert metric.mapped(perplexity) == Metric(exp(metric.value))
