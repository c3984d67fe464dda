"""Compares pretraining settings: named variants of one run, each with several seeds.

    python benchmarks/recipe.py EXPERIMENT.toml

An experiment has a `[base]` table, a configuration of `lmcraft pretrain` without `out`, and a `[variants]` table, whose
entries change it:

    seeds = [1, 2, 3]
    evaluations = 10
    unit = "nats"           # nats per token, or "bits" per byte, if variants have different tokenizers
    [base]
    data = "datasets/characters"
    max_steps = 300
    [variants.default]
    [variants.adamw.optimizer]
    name = "adamw"

It prints one row per variant as Markdown: the final loss with its 95% interval over the seeds, how far it is below the first
variant's (paired by seed: same data, same initial weights), the share of the first variant's tokens after which it reaches
the first variant's final loss, and the processor seconds of training (all threads). `--only NAME,NAME` runs only these
variants. Results are stored in EXPERIMENT.jsonl, and runs found there are not repeated.
"""

import argparse
import time
import tomllib
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w

from lmcraft import PretrainConfig
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.machine import Machine, choose_machine
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.schedule import learning_rate_factor

T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t by degrees of freedom, two-sided


@dataclass(frozen=True)
class Result:
    """One run: its validation losses by tokens trained on."""

    variant: str
    seed: int
    seconds: float
    curve: list[tuple[int, float]]

    @property
    def loss(self) -> float:
        """The validation loss at the end."""
        return self.curve[-1][1]


def merge_tables(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `change`, table by table."""
    tables = {key: merge_tables(base.get(key, {}), value) for key, value in change.items() if isinstance(value, dict)}
    return base | change | tables


def train(variant: str, settings: dict[str, Any], seed: int, evaluations: int, bits: bool, machine: Machine) -> Result:
    """One run, validated `evaluations` times, in bits per byte or nats per token; its seconds exclude validation."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run.toml"
        file.write_text(tomli_w.dumps(settings | {"seed": seed}))
        config = PretrainConfig.from_toml(file)
        config = replace(config, out=Path(folder) / "model").resolved()
        trainer = PretrainingRun.open(config, machine, ModelFolder(config.out)).autotuned(str).build_trainer()
        every = -(-config.max_steps // evaluations)
        unit = log(2) * trainer.bytes_per_token if bits else 1.0
        tokens, seconds, curve = 0, 0.0, []
        for step in range(config.max_steps):
            start = time.process_time()
            _, targets = trainer.gradients(step)
            trainer.optimizer.step(learning_rate_factor(config.schedule, step, config.max_steps))
            seconds, tokens = seconds + time.process_time() - start, tokens + targets
            if (step + 1) % every == 0 or step + 1 == config.max_steps:
                curve.append((tokens, trainer.validate() / unit))
    print(f"{variant}, seed {seed}: {curve[-1][1]:.4f} after {seconds:.1f} s and {tokens:,} tokens", flush=True)
    return Result(variant, seed, round(seconds, 2), curve)


def tokens_to_reach(curve: list[tuple[int, float]], loss: float) -> float:
    """The tokens after which a curve reaches `loss`, by linear interpolation; infinite if it never does."""
    before = (0, float("inf"))
    for tokens, value in curve:
        if value <= loss:
            share = (before[1] - loss) / (before[1] - value) if before[1] < float("inf") else 1.0
            return before[0] + share * (tokens - before[0])
        before = (tokens, value)
    return float("inf")


def format_interval(values: list[float], digits: int) -> str:
    """Mean and half the width of the 95% interval; only the mean if there is a single value."""
    if len(values) < 2:
        return f"{fmean(values):.{digits}f}"
    half = T_95[len(values) - 1] * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.{digits}f} ± {half:.{digits}f}"


def format_table(results: list[Result], order: list[str]) -> str:
    """A Markdown table with a row for each variant that has results."""
    lines = ["| variant | seeds | loss | below the first | tokens to its loss | seconds |", "|---|---|---|---|---|---|"]
    first = {r.seed: r for r in results if r.variant == order[0]}
    for variant in order:
        variant_results = sorted((r for r in results if r.variant == variant), key=lambda r: r.seed)
        pairs = [(first[r.seed], r) for r in variant_results if r.seed in first]
        if not variant_results:
            continue
        below = format_interval([f.loss - r.loss for f, r in pairs], 4) if pairs and variant != order[0] else ""
        shares = [tokens_to_reach(r.curve, f.loss) / f.curve[-1][0] for f, r in pairs]
        share = format_interval(shares, 2) if shares and max(shares) < float("inf") else "never" if shares else ""
        loss, seconds = format_interval([r.loss for r in variant_results], 4), fmean(r.seconds for r in variant_results)
        lines.append(f"| {variant} | {len(variant_results)} | {loss} | {below} | {share} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--only", default="", help="variants to run, separated by commas")
    parser.add_argument("--seeds", default="", help="seeds to run, separated by commas")
    arguments = parser.parse_args()
    experiment = tomllib.loads(arguments.experiment.read_text())
    variants: dict[str, Any] = experiment["variants"]
    seeds = [int(seed) for seed in arguments.seeds.split(",") if seed] or experiment.get("seeds", [1, 2, 3])
    log = arguments.experiment.with_suffix(".jsonl")
    results = [Result(**row) for row in read_json_lines(log)]
    machine, bits = choose_machine(), experiment.get("unit") == "bits"
    for variant in [name for name in arguments.only.split(",") if name] or list(variants):
        settings = merge_tables(experiment["base"], variants[variant])
        for seed in seeds:
            if not any((r.variant, r.seed) == (variant, seed) for r in results):
                result = train(variant, settings, seed, experiment.get("evaluations", 10), bits, machine)
                results.append(result)
                with log.open("a") as file:
                    file.write(format_json_line(vars(result)))
    print(format_table(results, list(variants)))


if __name__ == "__main__":
    main()
