"""What the privacy audit finds: exposure by repetitions with and without differential privacy, audited beside claimed
epsilon, broken private steps, and how far the one-run bounds stay below the truth.

    python benchmarks/privacy_audit.py --out /tmp/audit

The text is the standard library of the Python that runs it. The models have 0.2 million parameters.
"""

import argparse
import json
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft import AuditPrivacyConfig, PrepareConfig, PretrainConfig, audit_privacy, prepare, pretrain
from lmcraft.audits.privacy.one_run import audit_one_run, gaussian_epsilon
from lmcraft.errors import RunError
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from lmcraft.training.config import DPConfig
from tests.audits.privacy.private_runs import BREAKS, audit, private_step
from tests.tiny import tiny_dataset

MAX_CHARACTERS = 4_000_000
CANARIES = 400
SETTINGS: dict[str, Any] = {
    "depth": 2,
    "model": TransformerConfig(hidden_size=64, num_attention_heads=2),
    "sequence_length": 64,
    "precision": "fp32",
    "compile": "off",
    "canaries": CANARIES,
    "sample_every": 1_000_000,
}
RUNS: dict[str, dict[str, Any]] = {
    "ordinary": {"batch_size": 32, "max_steps": 1200, "eval_every": 600},
    "epsilon 8": {"batch_size": 256, "max_steps": 150, "eval_every": 75, "dp": DPConfig(epsilon=8.0)},
}
SEEDS = 10
BOUND_TRIALS = 100


def write_text(file: Path) -> None:
    """Modules of the standard library, one after the other."""
    root = Path(sysconfig.get_path("stdlib"))
    with file.open("w", encoding="utf-8") as out:
        for path in sorted(root.rglob("*.py")):
            if out.tell() > MAX_CHARACTERS:
                break
            if not {"test", "tests", "site-packages"} & set(path.parts):
                out.write(path.read_text(encoding="utf-8", errors="ignore") + "\n\n")


def train(out: Path) -> Iterator[tuple[str, Path, float]]:
    """Each run with its folder and its seconds."""
    text, data = out / "text.txt", out / "data"
    if not data.exists():
        write_text(text)
        prepare(PrepareConfig((str(text),), out=data, vocab_size=2048, document_chars=400, split="hash"))
    for name, settings in RUNS.items():
        folder, begin = out / name.replace(" ", "-"), time.perf_counter()
        if not (folder / "model.safetensors").exists():
            pretrain(PretrainConfig(data, out=folder, **SETTINGS, **settings))
        yield name, folder, time.perf_counter() - begin


def audit_runs(out: Path) -> None:
    """Train the runs, audit them, and print what the audits say."""
    for name, folder, seconds in train(out):
        begin = time.perf_counter()
        try:
            audit_privacy(AuditPrivacyConfig(folder))
        except RunError as error:
            print(f"{name}: {error}")
        record = json.loads((ModelFolder(folder).privacy_audit / "audit.json").read_text(encoding="utf-8"))
        print(f"\n## {name} (trained in {seconds:.0f} s, audited in {time.perf_counter() - begin:.0f} s)\n")
        for figure in record["figures"]:
            low, high = (figure["low"], figure["high"])
            ends = "" if low is None else f" ({low:.3f} to {high:.3f})"
            cells = (figure["name"], figure["title"], figure["count"], f"{figure['value']:.3f}{ends}", figure["chance"])
            print("|", " | ".join(map(str, cells)), "|")
        for bound in record["bounds"]:
            print(f"| {bound['threat_model']} | {bound['method']} | {bound['epsilon']:.2f} | {bound['detail']} |")
        for check in record["checks"]:
            print(f"| {check['name']} | {check['claimed']} | {check['measured']} | {check['passed']} |")


def break_steps(out: Path) -> None:
    """Count how often a broken step is caught, and an intact one accused."""
    data = tiny_dataset(out)
    print("\n| step | contradicted |\n|---|---|")
    for name, breaks in {"as it is": lambda patch: None, **BREAKS}.items():
        caught = 0
        for seed in range(SEEDS):
            with pytest.MonkeyPatch.context() as patch:
                breaks(patch)
                caught += audit(private_step(data, seed), seed)[1].passed is False
        print(f"| {name} | {caught} of {SEEDS} |", flush=True)


def measure_bounds() -> None:
    """Print how often the one-run bounds exceed the epsilon of Gaussian mechanisms, and how large they are."""
    rng, delta = np.random.default_rng(0), 1e-5
    print("\n| canaries | epsilon | median (largest) bound | with the Gaussian curve | above the truth |")
    print("|---|---|---|---|---|")
    for count in (200, 1000, 10_000):
        for mu in (0.5, 1.0, 1.7, 3.0):
            truth, bounds = gaussian_epsilon(mu, delta), []
            for _ in range(BOUND_TRIALS if count < 10_000 else BOUND_TRIALS // 10):
                included = rng.random(count) < 0.5
                scores = rng.normal(size=count) + mu * included
                bounds.append(
                    [audit_one_run(scores, included, delta, gaussian=gaussian).epsilon for gaussian in (False, True)]
                )
            plain, gaussian = np.array(bounds).T
            above = np.mean(np.array(bounds) > truth, axis=0)
            print(
                f"| {count:,} | {truth:.2f} | {np.median(plain):.2f} ({plain.max():.2f}) | "
                f"{np.median(gaussian):.2f} ({gaussian.max():.2f}) | {above[0]:.1%}, {above[1]:.1%} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, which are kept")
    parser.add_argument("--parts", nargs="*", default=["bounds", "broken", "runs"], choices=["bounds", "broken", "runs"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if "bounds" in options.parts:
        measure_bounds()
    if "broken" in options.parts:
        break_steps(options.out)
    if "runs" in options.parts:
        audit_runs(options.out)


if __name__ == "__main__":
    main()
