"""Pictures of the pages 7 to 12."""

from itertools import accumulate
from math import log10
from typing import Any

import torch

from lmcraft.inference.speculation.acceptance import AcceptanceRate
from lmcraft.privacy.accounting import spent_epsilon
from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import Series, draw_chart
from scripts.learn_pictures.chart import Picture, Say, curve, line_picture

Names = dict[str, Any]
SEARCHES = 8  # that a curve of page 10 averages


def draw_forgetting(page: Names, say: Say) -> str:
    """Page 7: the task and general text after each method."""
    names = {
        "base": say("before", "微调前"),
        "full": say("all weights", "全部权重"),
        "mixed": say("with general text", "混入通用文本"),
        "near": "L2-SP",
        "lora": "LoRA",
    }
    with torch.no_grad():
        points = [(float(page["task_loss"](page[name])), page["general_loss"](page[name])) for name in names]
    series = Series("", "a", points, dots=True, labels=list(names.values()))
    return line_picture([series], say("loss of the task", "任务损失"), say("loss of general text", "通用文本损失"))


def draw_temperature(page: Names, say: Say) -> str:
    """Page 8: the distribution at three temperatures."""
    series = [
        Series(f"τ = {name}", style, list(enumerate(values.tolist())))
        for style, (name, values) in zip("abc", {"0.5": page["cold"], "1": page["p"], "2": page["hot"]}.items(), strict=True)
    ]
    heights = Axis.of_numbers(say("probability", "概率"), [0.0, *(y for s in series for _, y in s.points)])
    return draw_chart(series, Axis.of_names("", page["words"]), heights)


def draw_speculation(page: Names, say: Say) -> str:
    """Page 8: tokens per step by acceptance rate."""
    series = []
    for style, count in zip("abc", (1, 3, 7), strict=True):
        points = [(rate, AcceptanceRate((rate, 1 - rate)).expected_tokens(count)) for rate in (n / 50 for n in range(51))]
        series.append(Series(say(f"{count} proposed", f"每步提议 {count} 个"), style, points))
    return line_picture(series, say("acceptance rate", "接受率"), say("tokens per step", "词元 / 步"))


def draw_threshold(page: Names, say: Say) -> str:
    """Page 9: how right the answers are, by how many are given."""
    confidence = page["confidence"](page["too_sure"] / page["temperature"])
    order = (-confidence).argsort()
    right = list(accumulate(page["right"][order].tolist()))
    points = [(n / len(right), right[n - 1] / n) for n in range(20, len(right) + 1, 20)]
    axes = say("share of the texts that are answered", "作答比例"), say("accuracy", "准确率")
    return line_picture([Series("", "a", points)], *axes)


def draw_search(page: Names, say: Say) -> str:
    """Page 10: the best loss so far, the mean of several searches."""
    series = []
    for style, (name, sampler, count, step) in zip(
        "abc",
        (
            (say("grid", "网格"), "grid", 9, 2.0),
            (say("random", "随机"), "random", 20, None),
            ("TPE", "tpe", 20, None),
        ),
        strict=True,
    ):
        runs = [
            list(accumulate((trial.values["loss"] for trial in page["search"](sampler, count, seed, step)), min))
            for seed in range(SEARCHES)
        ]
        series.append(curve(name, style, [log10(sum(values) / SEARCHES) for values in zip(*runs, strict=True)]))
    return line_picture(series, say("trials", "试验数"), say("log10 of the best loss", "最优损失的 log10"))


def draw_precision(page: Names, say: Say) -> str:
    """Page 11: precision by the share of harmful texts."""
    rates = [10 ** (n / 20) for n in range(-80, -9)]
    series = [
        Series(
            say(f"{alarms:.1%} false alarms", f"误报 {alarms:.1%}"),
            style,
            [(rate, page["precision"](0.95, alarms, rate)) for rate in rates],
        )
        for style, alarms in zip("abc", (0.001, 0.01, 0.05), strict=True)
    ]
    return line_picture(series, say("share of harmful texts", "有害文本占比"), say("precision", "精确率"), log_x=True)


def draw_epsilon(page: Names, say: Say) -> str:
    """Page 12: epsilon by noise and steps."""
    series = []
    for style, steps in zip("abc", (100, 1000, 4000), strict=True):
        points = [
            (noise, spent_epsilon(sampling_rate=0.01, noise_multiplier=noise, steps=steps, delta=1e-5))
            for noise in (0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0)
        ]
        series.append(Series(say(f"{steps} steps", f"{steps} 步"), style, points))
    return line_picture(series, say("noise multiplier", "噪声倍数"), "ε")


PRACTICE: dict[str, Picture] = {
    "07-forgetting": draw_forgetting,
    "08-temperature": draw_temperature,
    "08-speculation": draw_speculation,
    "09-threshold": draw_threshold,
    "10-search": draw_search,
    "11-precision": draw_precision,
    "12-epsilon": draw_epsilon,
}
