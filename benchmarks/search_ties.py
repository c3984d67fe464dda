"""Searches in which nothing matters: how many of them end in a tie, as they should.

Each search varies two settings that change the loss no more than rounding does, and confirms its winner.

python benchmarks/search_ties.py DATASET --searches 10
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SPACE = """
[search]
trials = {trials}
confirm = 3
workers = 2
seed = {seed}
promotion = "none"

[pretrain]
data = "{data}"
depth = 1
model.hidden_size = 32
sequence_length = 64
batch_size = 4
max_steps = 40
precision = "fp32"
compile = "off"
optimizer.name = "adamw"
optimizer.eps = {{ low = 1e-12, high = 1e-9, log = true }}
optimizer.row_beta2 = {{ low = 0.5, high = 0.99 }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="dataset folder of lmcraft prepare")
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--trials", type=int, default=6)
    arguments = parser.parse_args()
    ties = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, arguments.searches + 1):
            space, out = Path(folder) / f"{seed}.toml", Path(folder) / str(seed)
            space.write_text(SPACE.format(trials=arguments.trials, seed=seed, data=arguments.data.resolve()))
            subprocess.run(
                [sys.executable, "-m", "lmcraft", "search", str(space), "--out", str(out)], check=True, capture_output=True
            )
            verdict = json.loads((out / "verdict.json").read_text())
            gains = {gain["over"]: gain for gain in verdict["gains"]}
            is_tie = all(gain["tie"] for gain in gains.values())
            ties += is_tie
            differences = ", ".join(
                f"{role} {gain['value']:.4f} (p = {gain['p_value']:.2f})" for role, gain in gains.items()
            )
            print(f"search {seed}: {'a tie' if is_tie else 'NOT A TIE'}; gain over the {differences}", flush=True)
    print(f"{ties} of {arguments.searches} searches end in a tie")


if __name__ == "__main__":
    main()
