"""Which settings train best: named variants of one run, several seeds each. `python benchmarks/recipe.py EXPERIMENT.toml`

An experiment holds a `[base]` table, which is a configuration of `lmcraft pretrain` without `out`, and a `[variants]` table,
whose entries change it:

    seeds = [1, 2, 3]
    evaluations = 10
    unit = "nats"           # a token; "bits" a byte, where variants have other tokenizers

    [base]
    data = "datasets/characters"
    max_steps = 300

    [variants.default]
    [variants.adamw.optimizer]
    name = "adamw"

Prints one row a variant as Markdown: the loss at the end with its 95% interval over the seeds, how far it is below the first
variant's (paired by seed: the same data and the same first weights), the share of the first variant's tokens after which
it is as low as the first one ends, and the processor seconds of training (all threads). `--only NAME,NAME` runs some of
the variants; what was run before lies in EXPERIMENT.jsonl and is not run again.
"""

import argparse
import json
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
        """At the end."""
        return self.curve[-1][1]


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `change`, table by table."""
    tables = {key: merged(base.get(key, {}), value) for key, value in change.items() if isinstance(value, dict)}
    return base | change | tables


def train(variant: str, settings: dict[str, Any], seed: int, evaluations: int, bits: bool, machine: Machine) -> Result:
    """One run, measured `evaluations` times, in bits per byte or nats per token; validation is not part of its seconds."""
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
            begun = time.process_time()
            _, targets = trainer.gradients(step)
            trainer.optimizer.step(learning_rate_factor(config.schedule, step, config.max_steps))
            seconds, tokens = seconds + time.process_time() - begun, tokens + targets
            if (step + 1) % every == 0 or step + 1 == config.max_steps:
                curve.append((tokens, trainer.validate() / unit))
    print(f"{variant}, seed {seed}: {curve[-1][1]:.4f} after {seconds:.1f} s and {tokens:,} tokens", flush=True)
    return Result(variant, seed, round(seconds, 2), curve)


def tokens_to(curve: list[tuple[int, float]], loss: float) -> float:
    """The tokens after which a curve is as low as `loss`, on straight lines between its points; infinite if it never is."""
    before = (0, float("inf"))
    for tokens, value in curve:
        if value <= loss:
            share = (before[1] - loss) / (before[1] - value) if before[1] < float("inf") else 1.0
            return before[0] + share * (tokens - before[0])
        before = (tokens, value)
    return float("inf")


def interval(values: list[float], digits: int) -> str:
    """Mean and half the width of the 95% interval; the mean alone of a single value."""
    if len(values) < 2:
        return f"{fmean(values):.{digits}f}"
    half = T_95[len(values) - 1] * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.{digits}f} ± {half:.{digits}f}"


def table(results: list[Result], order: list[str]) -> str:
    """Markdown, a row for each variant that has results."""
    lines = ["| variant | seeds | loss | below the first | tokens to its loss | seconds |", "|---|---|---|---|---|---|"]
    first = {r.seed: r for r in results if r.variant == order[0]}
    for variant in order:
        own = sorted((r for r in results if r.variant == variant), key=lambda r: r.seed)
        pairs = [(first[r.seed], r) for r in own if r.seed in first]
        if not own:
            continue
        below = interval([f.loss - r.loss for f, r in pairs], 4) if pairs and variant != order[0] else ""
        shares = [tokens_to(r.curve, f.loss) / f.curve[-1][0] for f, r in pairs]
        share = interval(shares, 2) if shares and max(shares) < float("inf") else "never" if shares else ""
        loss, seconds = interval([r.loss for r in own], 4), fmean(r.seconds for r in own)
        lines.append(f"| {variant} | {len(own)} | {loss} | {below} | {share} | {seconds:.0f} |")
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
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    results = [Result(**row) for row in rows]
    machine, bits = choose_machine(), experiment.get("unit") == "bits"
    for variant in [name for name in arguments.only.split(",") if name] or list(variants):
        settings = merged(experiment["base"], variants[variant])
        for seed in seeds:
            if not any((r.variant, r.seed) == (variant, seed) for r in results):
                result = train(variant, settings, seed, experiment.get("evaluations", 10), bits, machine)
                results.append(result)
                with log.open("a") as file:
                    print(json.dumps(vars(result)), file=file)
    print(table(results, list(variants)))


if __name__ == "__main__":
    main()
