"""Measures whether the best learning rate changes with the width, with and without `--base-width`.

    python benchmarks/transfer.py DATASET RESULTS.jsonl

Trains models of several widths at learning rates a factor of two apart and prints, for each optimizer and rule, the best
rate of each width: the lowest point of the parabola through the lowest loss (the mean over the seeds) and its neighbors. The
rates of a sweep are all learning rates of the run times a factor, as with `--find-lr`. A sweep goes on until the lowest loss
is not at its end. Results are stored in RESULTS.jsonl, and runs that are stored there are not repeated.
"""

import argparse
import time
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np

from lmcraft import PretrainConfig
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.machine import choose_machine
from lmcraft.model.config import InitConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.depth_rule import keep_proportions, resolve_optimizer
from lmcraft.training.schedule import learning_rate_factor

WIDTHS, SEEDS = (32, 64, 128, 256), (1, 2)
INITIALIZATION: Literal["xavier_normal"] = (
    "xavier_normal"  # the default's 0.02 is too small for the narrow models (docs/lab-notes.md)
)
MAX_EXPONENT = 8  # of 2
OPTIMIZERS = {
    "adamw": OptimizerConfig(name="adamw", learning_rate=0.008),  # one rate for every group
    "normuon": OptimizerConfig(name="normuon"),  # the default rates
}
RULES = ("default", "base width")


@dataclass(frozen=True)
class Run:
    """One run and its validation loss in nats per token; infinite if it diverged."""

    optimizer: str
    rule: str
    width: int
    exponent: int
    seed: int
    loss: float
    seconds: float


def build_config(data: Path, steps: int, optimizer: str, rule: str, width: int, exponent: int, seed: int) -> PretrainConfig:
    """The settings of a run; those of the narrowest width are the same with both rules."""
    base = WIDTHS[0]
    settings = PretrainConfig(data, depth=2, sequence_length=32, batch_size=16, max_steps=steps, eval_tokens=8192)
    settings = replace(settings, init=InitConfig(scheme=INITIALIZATION), seed=seed)
    model = keep_proportions(replace(settings.model, hidden_size=width, intermediate_size=2 * width), width, base)
    rates = resolve_optimizer(OPTIMIZERS[optimizer], base if rule == "base width" else width)
    names = ("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate")
    rates = replace(rates, **{name: getattr(rates, name) * 2.0**exponent for name in names})
    return replace(settings, model=model, optimizer=rates, base_width=base if rule == "base width" else 0).resolved()


def train(config: PretrainConfig) -> float:
    """The validation loss after the last step; infinite if it is not a number."""
    run = PretrainingRun.open(config, choose_machine("cpu", "fp32"), ModelFolder(config.out))
    trainer = run.build_trainer()
    for step in range(config.max_steps):
        loss, _ = trainer.gradients(step)
        if not loss < inf:
            return inf
        trainer.optimizer.step(learning_rate_factor(config.schedule, step, config.max_steps))
    loss = trainer.validate()
    return loss if loss < inf else inf


def best_exponent(losses: dict[int, float]) -> float:
    """The lowest point of the parabola through the lowest loss and its neighbors."""
    best = min(losses, key=lambda exponent: losses[exponent])
    points = [(exponent, losses.get(exponent, inf)) for exponent in (best - 1, best, best + 1)]
    if any(loss == inf for _, loss in points):
        return float(best)
    a, b, _ = np.polyfit([x for x, _ in points], [y for _, y in points], 2)
    return float(-b / (2 * a)) if a > 0 else float(best)


class Sweeps:
    """All runs, those of earlier calls included."""

    def __init__(self, data: Path, results: Path, steps: int) -> None:
        self.data, self.results, self.steps = data, results, steps
        self.runs = [Run(**row) for row in read_json_lines(results)]

    def loss(self, optimizer: str, rule: str, width: int, exponent: int, seed: int) -> float:
        """The loss of a run, trained now unless it is stored."""
        rule = rule if width > WIDTHS[0] else RULES[0]
        key = (optimizer, rule, width, exponent, seed)
        for run in self.runs:
            if (run.optimizer, run.rule, run.width, run.exponent, run.seed) == key:
                return run.loss
        begin = time.process_time()
        loss = train(build_config(self.data, self.steps, *key))
        run = Run(*key, loss, round(time.process_time() - begin, 2))
        print(run, flush=True)
        self.runs.append(run)
        with self.results.open("a") as file:
            file.write(format_json_line(vars(run)))
        return loss

    def sweep(self, optimizer: str, rule: str, width: int, first: int) -> dict[int, list[float]]:
        """The losses of the seeds by exponent, from `first` and its neighbors until the lowest mean is not at an end."""
        losses: dict[int, list[float]] = {}
        pending = [first - 1, first, first + 1]
        while pending:
            for exponent in pending:
                losses[exponent] = [self.loss(optimizer, rule, width, exponent, seed) for seed in SEEDS]
            best = min(losses, key=lambda exponent: fmean(losses[exponent]))
            pending = [e for e in (best - 1, best + 1) if e not in losses and abs(e) <= MAX_EXPONENT]
        return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    sweeps = Sweeps(arguments.data, arguments.results, arguments.steps)
    lines = [
        "| optimizer | rule | width | best factor (each seed) | shift, factors of two | lowest loss | at the narrow best |",
        "|---|---|---|---|---|---|---|",
    ]
    for optimizer in OPTIMIZERS:
        for rule in RULES:
            narrow = best = 0.0
            for width in WIDTHS:
                losses = sweeps.sweep(optimizer, rule, width, round(best))
                mean = {exponent: fmean(values) for exponent, values in losses.items()}
                best = best_exponent(mean)
                each = [best_exponent({e: values[n] for e, values in losses.items()}) for n in range(len(SEEDS))]
                narrow = best if width == WIDTHS[0] else narrow
                kept = fmean(sweeps.loss(optimizer, rule, width, round(narrow), seed) for seed in SEEDS)
                seeds = ", ".join(f"{2**exponent:.2f}" for exponent in each)
                lines.append(
                    f"| {optimizer} | {rule} | {width} | {2**best:.2f} ({seeds}) | {best - narrow:+.2f} | "
                    f"{min(mean.values()):.3f} | {kept:.3f} (x {2.0 ** round(narrow):g}, "
                    f"{kept - min(mean.values()):+.3f}) |"
                )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
