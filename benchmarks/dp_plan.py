"""Fit the law of private training, and compare its choices with those of ordinary training.

python benchmarks/dp_plan.py OUT [--packages FOLDER]

The documents are the first 160 characters of 40,000 docstrings of the Python packages in FOLDER (those of this environment).
Whatever is done is kept in OUT, and the same command goes on.
"""

import argparse
import ast
import contextlib
import io
import json
import random
import shutil
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import least_squares

import lmcraft
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.private_law import LAW, PrivateLaw
from lmcraft.pretraining.private_plan import Budget, PrivateChooser, Size
from lmcraft.training.config import DPConfig

DOCUMENTS, CHARACTERS, VOCABULARY, SEQUENCE_LENGTH = 40_000, 160, 1024, 32
MAX_LOSS = 6.4  # above it noise has undone what was learned, which the law leaves out
# Blocks, width, documents per step, steps, noise multiplier / documents per step.
LAW_RUNS = [
    (1, 16, 128, 40, 0.0004),
    (1, 16, 128, 40, 0.002),
    (1, 16, 128, 160, 0.0004),
    (1, 16, 128, 160, 0.002),
    (1, 16, 32, 160, 0.0004),
    (1, 32, 128, 40, 0.0004),
    (1, 32, 128, 40, 0.001),
    (1, 32, 128, 40, 0.002),
    (1, 32, 128, 40, 0.006),
    (1, 32, 128, 40, 0.02),
    (1, 32, 128, 160, 0.0001),
    (1, 32, 128, 160, 0.0004),
    (1, 32, 128, 160, 0.002),
    (1, 32, 128, 160, 0.006),
    (1, 32, 128, 160, 0.02),
    (1, 32, 32, 160, 0.0004),
    (1, 32, 32, 160, 0.006),
    (1, 32, 512, 40, 0.0004),
    (1, 32, 512, 40, 0.006),
    (2, 64, 128, 40, 0.0001),
    (2, 64, 128, 40, 0.0004),
    (2, 64, 128, 40, 0.001),
    (2, 64, 128, 40, 0.002),
    (2, 64, 128, 40, 0.006),
    (2, 64, 128, 40, 0.02),
    (2, 64, 128, 160, 0.0004),
    (2, 64, 128, 160, 0.001),
    (2, 64, 128, 160, 0.002),
    (2, 64, 32, 160, 0.0004),
    (2, 64, 32, 160, 0.006),
    (2, 64, 512, 40, 0.0004),
    (3, 128, 128, 40, 0.002),
]
# Width of the models to choose from, blocks, parameters, and processor time per token in microseconds, by the runs above.
SIZES = {16: (1, 20_560, 12.0), 32: (1, 49_312, 17.0), 64: (2, 172_608, 32.0)}
EPSILON, BUDGET_SECONDS, SMALL_BATCH = 3.0, 30.0, 32


def write_data(packages: Path, out: Path) -> Path:
    """The dataset folder."""
    data = out / "data"
    if not data.exists():
        texts = list(dict.fromkeys(" ".join(text.split())[:CHARACTERS] for text in docstrings(packages)))
        random.Random(0).shuffle(texts)
        lines = out / "docstrings.jsonl"
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:DOCUMENTS]), encoding="utf-8")
        lmcraft.prepare(lines, out=data, vocab_size=VOCABULARY)
    return data


def docstrings(packages: Path) -> Iterator[str]:
    """Those of modules, classes and functions, in the order of the files' names."""
    for path in sorted(packages.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) > 60:
                    yield text


def train(data: Path, out: Path, blocks: int, width: int, batch: int, steps: int, dp: dict[str, object]) -> dict[str, float]:
    """Validation loss, parameters and processor time of a private run."""
    folder = out / "run"
    shutil.rmtree(folder, ignore_errors=True)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lmcraft.pretrain(
            data,
            out=folder,
            depth=blocks,
            model={"hidden_size": width},
            sequence_length=SEQUENCE_LENGTH,
            batch_size=batch,
            max_steps=steps,
            eval_every=steps,
            save_every=steps,
            sample_every=10**6,
            eval_tokens=2**15,
            dp=dp,
        )
    metrics = [json.loads(line) for line in (folder / "lmcraft/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    status = json.loads((folder / "lmcraft/status.json").read_text(encoding="utf-8"))
    loss = [row["validation_loss"] for row in metrics if "validation_loss" in row][-1]
    return {"loss": loss, "parameters": status["parameters"], "cpu": time.process_time() - start}


def cached(path: Path, key: list[object]) -> dict[str, float] | None:
    """What a file of results has about a run."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            row: dict[str, object] = json.loads(line)
            if row["run"] == key:
                return {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    return None


def run_once(path: Path, key: list[object], *arguments: object) -> dict[str, float]:
    """The result of a run, from the file or a new one, which is added to the file."""
    result = cached(path, key)
    if result is None:
        result = train(*arguments)  # type: ignore[arg-type]
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": key, **result}) + "\n")
    return result


def fit_law(data: Path, out: Path) -> PrivateLaw:
    """Least squares over the runs whose loss is at most `MAX_LOSS`; prints the law and its errors."""
    runs, results = LAW_RUNS, []
    for blocks, width, batch, steps, ratio in runs:
        dp: dict[str, object] = {"epsilon": 1e12, "noise_multiplier": ratio * batch, "accountant": "rdp"}
        key: list[object] = [blocks, width, batch, steps, ratio]
        results.append(run_once(out / "law.jsonl", key, data, out, blocks, width, batch, steps, dp))
    losses = np.array([result["loss"] for result in results])
    used = losses <= MAX_LOSS
    names = [field.name for field in fields(PrivateLaw) if field.name != "start"]
    start = np.log(VOCABULARY)
    low = np.array([0.0, 0.05, 0.1, 3.0, 0.2, 1.0, 3.0, -1.0, 0.2])
    high = np.array([4.0, 3.0, 0.6, 8000.0, 2.0, 400.0, 20000.0, 2.0, 1.5])

    def law_of(values: np.ndarray) -> PrivateLaw:
        return PrivateLaw(start, **dict(zip(names, map(float, values), strict=True)))

    def errors(values: np.ndarray) -> np.ndarray:
        law = law_of(values)
        predicted = [
            law.loss(result["parameters"], batch, steps, ratio)
            for (_, _, batch, steps, ratio), result in zip(runs, results, strict=True)
        ]
        return (np.array(predicted) - losses)[used]

    initial = np.array([getattr(LAW, name) for name in names])
    starts = [initial, *(np.random.default_rng(seed).uniform(0.5, 1.5, len(names)) * initial for seed in range(40))]
    fits = [least_squares(errors, np.clip(s, low, high), bounds=(low, high), x_scale=high - low) for s in starts]
    law = law_of(min(fits, key=lambda fit: fit.cost).x)
    rms = float(np.sqrt(np.mean(min(fits, key=lambda fit: fit.cost).fun ** 2)))
    print(law, f"root mean square error {rms:.3f} nats over {int(used.sum())} of {len(runs)} runs", sep="\n")
    return law


def compare(data: Path, out: Path) -> None:
    """Train the plan's choice and those of ordinary training with the same processor time, and print their losses."""
    widths = sorted(SIZES)
    sizes = [Size(depth, SIZES[width][1], 0, 31.0) for depth, width in enumerate(widths, 1)]

    def cost(size: Size, tokens: float) -> float:
        return SIZES[widths[size.depth - 1]][2] * 1e-6 * tokens

    units = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["splits"]["train"]["documents"]
    budget, dp = Budget(BUDGET_SECONDS, cost), DPConfig(epsilon=EPSILON)
    _, plan = PrivateChooser(PlanConfig(data, dp=dp), units, budget).choose(sizes)
    small = PrivateChooser(PlanConfig(data, dp=dp, batch_size=SMALL_BATCH), units, budget)
    largest = PrivateChooser(PlanConfig(data, dp=dp), units, budget)
    choices = [
        plan.best,
        *plan.others,
        small.choose([sizes[plan.best.depth - 1]])[1].best,
        largest.choose(sizes[-1:])[1].best,
    ]
    print("| choice | width | parameters | batch | steps | noise multiplier | loss by the law | loss | processor time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for choice in choices:
        width = widths[choice.depth - 1]
        key: list[object] = [width, choice.batch_size, choice.steps, EPSILON]
        result = run_once(
            out / "compare.jsonl",
            key,
            data,
            out,
            SIZES[width][0],
            width,
            choice.batch_size,
            choice.steps,
            {"epsilon": EPSILON},
        )
        name = choice.name or {plan.best: "plan", choices[-1]: "larger size"}.get(choice, f"batch of {SMALL_BATCH}")
        print(
            f"| {name} | {width} | {choice.parameters:,} | {choice.batch_size} | {choice.steps} | "
            f"{choice.noise_multiplier:.3f} | {choice.loss:.2f} | {result['loss']:.3f} | {result['cpu']:.0f} s |",
            flush=True,
        )


def main() -> None:
    """Run everything that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", type=Path, default=Path(sysconfig.get_path("purelib")))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = write_data(arguments.packages, arguments.out)
    fit_law(data, arguments.out)
    compare(data, arguments.out)


if __name__ == "__main__":
    main()
