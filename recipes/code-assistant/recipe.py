"""Complete code in an editor: a small model learns to fill in the middle, measured beside the same model without.

Two models read Python's standard library with the same settings, seed and number of steps; one of them reads half of its
documents as fill-in-the-middle. With --data they read your own code.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from gaps import HUMANEVAL, Gap, humaneval_lines, random_spans, single_lines
from infilling import Infiller, left_to_right, passes
from python_modules import Modules, read_modules

from lmcraft.language_model import LanguageModel
from lmcraft.statistics.intervals import Metric, mean_interval, ratio_interval
from recipes.packages import fetch
from recipes.work import Figure, Work

GAPS, PROBLEMS, SHORT_GAPS = 300, 164, 2
HELD_OUT_MODULES = 12  # whose loss is measured
SHORT = {
    "--max-steps": 4,
    "--batch-size": 2,
    "--eval-tokens": 2048,
    "--model.num-hidden-layers": 1,
    "--model.hidden-size": 64,
    "--model.num-attention-heads": 2,
    "--attention": "matmul",
    "--precision": "fp32",
}
EXAMPLES = 12


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="a folder of your own Python files, instead of the standard library")


def run(work: Work, options: Namespace) -> list[Figure]:
    modules = read_modules(options.data, limit=8 if work.short else 0)
    prepare(work, modules)
    plain, filling = (train(work, name, rate) for name, rate in (("plain", 0.0), ("code-assistant", 0.5)))
    torch.set_num_threads(2)
    infillers = {
        "fill-in-the-middle": Infiller(filling, "fill-in-the-middle"),
        "prefix": Infiller(plain, "prefix"),
        "suffix and prefix": Infiller(plain, "suffix and prefix"),
    }
    count = SHORT_GAPS if work.short else GAPS
    held_out = dict(list(modules.held_out.items())[: 2 if work.short else None])
    lines, spans = single_lines(held_out, count), random_spans(held_out, count)
    problems = humaneval_lines(fetch(HUMANEVAL), SHORT_GAPS if work.short else PROBLEMS)
    figures = [
        *compare_lines(work, infillers, lines),
        *compare_spans(work, infillers, spans),
        *compare_likelihood(infillers, lines),
        *compare_programs(work, infillers, problems),
        compare_left_to_right(plain, filling, dict(list(held_out.items())[:HELD_OUT_MODULES])),
    ]
    print(f"\nfill gaps in an editor: lmcraft serve {work.folder / 'code-assistant'} --port 8000")
    return figures


def prepare(work: Work, modules: Modules) -> None:
    """The token shards of the modules that the models read."""
    if not (work.folder / "data" / "manifest.json").exists():
        rows = "".join(json.dumps({"text": text}) + "\n" for text in modules.training.values())
        (work.folder / "train.jsonl").write_text(rows, encoding="utf-8")
        work.lmcraft(
            "prepare", work.recipe / "prepare.toml", "--out", "data", *(("--vocab-size", 512) if work.short else ())
        )
    sizes = [sum(map(len, texts.values())) for texts in (modules.training, modules.held_out)]
    print(f"{len(modules.training)} modules, {sizes[0]:,} characters; held out: {len(modules.held_out)}, {sizes[1]:,}")


def train(work: Work, name: str, fim_rate: float) -> LanguageModel:
    """A model of the work folder, trained unless it is complete."""
    settings = ["--fim-rate", fim_rate, *(word for pair in SHORT.items() for word in pair if work.short)]
    return LanguageModel.load(work.train("pretrain", "pretrain.toml", name, *settings))


def compare_lines(work: Work, infillers: Mapping[str, Infiller], lines: Sequence[Gap]) -> list[Figure]:
    """Exact match of single lines, without the space at their ends."""
    texts = {name: infiller.complete(lines, stops_at_line_end=True) for name, infiller in infillers.items()}
    write_examples(work.folder / "lines.txt", lines, texts)
    exact = {name: [t.strip() == gap.middle.strip() for t, gap in zip(texts[name], lines, strict=True)] for name in texts}
    return compare("lines of held-out modules filled exactly", exact, lines)


def compare_spans(work: Work, infillers: Mapping[str, Infiller], spans: Sequence[Gap]) -> list[Figure]:
    """Exact match of random spans; a model that cannot end a middle need only begin with it."""
    texts = {name: infiller.complete(spans, stops_at_line_end=False) for name, infiller in infillers.items()}
    write_examples(work.folder / "spans.txt", spans, texts)
    exact = {
        name: [
            text == gap.middle if name == "fill-in-the-middle" else text.startswith(gap.middle)
            for text, gap in zip(texts[name], spans, strict=True)
        ]
        for name in texts
    }
    return compare("random spans of 4 to 40 characters filled exactly", exact, spans)


def compare_likelihood(infillers: Mapping[str, Infiller], lines: Sequence[Gap]) -> list[Figure]:
    """Bits per byte of the true lines, given what each model reads."""
    modules, sizes = [gap.module for gap in lines], [len(gap.middle.encode()) for gap in lines]
    bits = {name: [infiller.bits(gap) for gap in lines] for name, infiller in infillers.items()}
    metrics = {name: ratio_interval(values, sizes, modules) for name, values in bits.items()}
    measure = "bits per byte of the true line, given what the model reads (lower is better)"
    return [
        figure(measure, name, metrics[name], metrics["fill-in-the-middle"])
        for name in metrics
        if name != "fill-in-the-middle"
    ]


def compare_programs(work: Work, infillers: Mapping[str, Infiller], gaps: Sequence[Gap]) -> list[Figure]:
    """pass@1 of HumanEval's functions, one line of which the model has written."""
    texts = {name: infiller.complete(gaps, stops_at_line_end=True) for name, infiller in infillers.items()}
    write_examples(work.folder / "humaneval.txt", gaps, texts)
    return compare("HumanEval with a line missing: pass@1", {name: passes(gaps, texts[name]) for name in texts}, gaps)


def compare_left_to_right(plain: LanguageModel, filling: LanguageModel, modules: Mapping[str, str]) -> Figure:
    """Bits per byte of held-out modules that are read from left to right."""
    metrics = []
    for model in (plain, filling):
        names, bits, sizes = zip(*left_to_right(model, modules), strict=True)
        metrics.append(ratio_interval(bits, sizes, names))
    return figure("bits per byte, read from left to right (lower is better)", "without fill-in-the-middle", *metrics)


def compare(measure: str, outcomes: Mapping[str, Sequence[bool]], gaps: Sequence[Gap]) -> list[Figure]:
    """A figure for each baseline; gaps of one module count as a cluster."""
    modules = [gap.module for gap in gaps]
    metrics = {name: mean_interval([float(outcome) for outcome in values], modules) for name, values in outcomes.items()}
    return [
        figure(measure, name, metrics[name], metrics["fill-in-the-middle"])
        for name in metrics
        if name != "fill-in-the-middle"
    ]


def figure(measure: str, baseline: str, before: Metric, result: Metric) -> Figure:
    names = {"prefix": "without, given the prefix", "suffix and prefix": "without, given suffix and prefix as plain text"}
    interval = None if result.low is None or result.high is None else (result.low, result.high)
    return Figure(measure, names.get(baseline, baseline), before.value, result.value, interval)


def write_examples(file: Path, gaps: Sequence[Gap], texts: Mapping[str, Sequence[str]]) -> None:
    """The first gaps with what each model wrote."""
    blocks = []
    for number, gap in enumerate(gaps[:EXAMPLES]):
        answers = "\n".join(f"{name}: {written[number]!r}" for name, written in texts.items())
        blocks.append(f"== {gap.module}\n{gap.prefix[-200:]}<gap>{gap.suffix[:100]}\ntruth: {gap.middle!r}\n{answers}\n")
    file.write_text("\n".join(blocks), encoding="utf-8")
