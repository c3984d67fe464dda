"""Forecasts of energy against the meter: `lmcraft plan`, then `lmcraft pretrain` with the same flags.

    lmcraft prepare /usr/lib/python3.11 --include '*.py' --vocab-size 2048 --out datasets/stdlib
    python benchmarks/forecast.py datasets/stdlib

prints a row for each of six runs. The plan and the run are commands of their own, as a user
starts them; what else the machine does is not looked at.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

MAX_ERROR = 0.2
RUNS = {
    "1 block of 64, 2,000 steps of 8 x 64": "--depth 1 --model.hidden-size 64 --sequence-length 64 --max-steps 2000",
    "2 blocks, 250 steps of 8 x 128": "--depth 2 --sequence-length 128 --max-steps 250",
    "2 blocks, AdamW, 40 steps of 64 x 128": "--depth 2 --optimizer.name adamw --sequence-length 128 --batch-size 64 "
    "--max-steps 40",
    "3 blocks, activation checkpointing, 60 steps of 16 x 128": "--depth 3 --activation-checkpointing --sequence-length 128 "
    "--batch-size 16 --max-steps 60",
    "4 blocks, 30 steps of 16 x 256": "--depth 4 --batch-size 16 --max-steps 30",
    "2 blocks, float32, 60 steps of 8 x 512, evaluated 5 times": "--depth 2 --precision fp32 --sequence-length 512 "
    "--max-steps 60 --eval-every 12",
}


@dataclass(frozen=True)
class Comparison:
    """A forecast and what the run drew, in joules, and both times in seconds."""

    forecast: float
    low: float
    high: float
    drawn: float
    planned_seconds: float
    seconds: float
    method: str

    @property
    def error(self) -> float:
        """Of the forecast, as a share of what was drawn."""
        return self.forecast / self.drawn - 1


def lmcraft(*arguments: str) -> str:
    """The output of a command.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "lmcraft", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def compare(data: Path, flags: str) -> Comparison:
    """Plan a run, then train it."""
    arguments = flags.split()
    arguments += [] if "--batch-size" in arguments else ["--batch-size", "8"]
    plan = json.loads(lmcraft("plan", str(data), *arguments, "--json"))
    with TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        lmcraft("pretrain", str(data), *arguments, "--out", str(out))
        energy = json.loads((out / "lmcraft" / "energy.json").read_text(encoding="utf-8"))["total"]["energy"]
    forecast = plan["energy"]
    return Comparison(
        forecast["joules"],
        forecast["low"],
        forecast["high"],
        energy["joules"],
        sum(plan["seconds"].values()),
        energy["seconds"],
        energy["method"],
    )


def main() -> None:
    """Print the table; exit with status 1 if a forecast is off by more than a fifth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset folder")
    data = parser.parse_args().data
    print("| run | forecast | drawn | error | planned time | time | method |\n|---|---|---|---|---|---|---|", flush=True)
    errors = []
    for name, flags in RUNS.items():
        result = compare(data, flags)
        errors.append(abs(result.error))
        cells = (
            name,
            f"{result.forecast / 3.6:.1f} mWh",
            f"{result.drawn / 3.6:.1f} mWh",
            f"{result.error:+.1%}",
            f"{result.planned_seconds:.0f} s",
            f"{result.seconds:.0f} s",
            result.method,
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"largest error {max(errors):.1%}", flush=True)
    sys.exit(max(errors) > MAX_ERROR)


if __name__ == "__main__":
    main()
