"""Pretraining compared with peers; prints Markdown. Every side runs in its own process, in turn.

python benchmarks/pretrain speed --nanochat DIR --litgpt PYTHON      tokens/s, memory, share of the bf16 peak
python benchmarks/pretrain characters shakespeare.txt                time to a loss, compared with nanoGPT's CPU recipe
python benchmarks/pretrain checkpoints                               cost of checkpoints, relative to the step time
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import side

LARGE_BATCH_TOKENS = 65_536  # the optimizer's share of a step of this size is smaller than of the steps measured here
# Ours runs between the peers, so that a disturbance of the machine does not affect one side only.
CPU_SIDES = ("trainer", "litgpt", "ours", "nanochat", "trainer-hand", "ours-compile", "litgpt-hand", "nanochat-hand")
GPU_SIDES = ("nanochat", "ours-compile")
NAMES = {"trainer": "transformers' Trainer", "litgpt": "litgpt", "nanochat": "nanochat", "ours": "**lmcraft**"}


def run_side(
    name: str, arguments: argparse.Namespace, shape: str, length: int, extra: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run one side in its own process; returns its row, or the reason that there is none as "missing"."""
    python = {"trainer": arguments.trainer, "litgpt": arguments.litgpt}.get(name.split("-")[0], sys.executable)
    command = [python, str(Path(__file__).parent), "side", name, shape, str(length), f"--steps={arguments.steps}"]
    command += [
        f"--tokens={arguments.tokens}",
        f"--device={arguments.device}",
        f"--clock={arguments.clock}",
        f"--nanochat={arguments.nanochat}",
        *extra,
    ]
    start = time.perf_counter()
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        return {"missing": f"not finished after {arguments.timeout} s"}
    rows = [line for line in process.stdout.splitlines() if line.startswith("ROW ")]
    if not rows:
        Path(f"failed-{name}.log").write_text(process.stdout + process.stderr, encoding="utf-8")
        return {"missing": f"failed with {process.returncode}: see failed-{name}.log"}
    row: dict[str, Any] = json.loads(rows[-1].removeprefix("ROW "))
    print(f"{name} {shape} T={length}: {time.perf_counter() - start:.0f} s, {row}", file=sys.stderr, flush=True)
    return row


def speed(arguments: argparse.Namespace) -> None:
    sides = arguments.sides.split(",") if arguments.sides else CPU_SIDES if arguments.device == "cpu" else GPU_SIDES
    with TemporaryDirectory() as cache:  # so that no side reuses an earlier run's compiled code
        os.environ.update(TORCHINDUCTOR_CACHE_DIR=cache, XDG_CACHE_HOME=cache, LMCRAFT_CACHE=cache)
        for shape in arguments.shapes.split(","):
            for length in map(int, arguments.lengths.split(",")):
                measured: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
                for name in [*sides] * arguments.rounds:
                    measured[name].append(run_side(name, arguments, shape, length))
                print_table(shape, length, arguments, measured)


def print_table(shape: str, length: int, arguments: argparse.Namespace, measured: dict[str, list[dict[str, Any]]]) -> None:
    rows = max(1, (arguments.tokens or side.SHAPES[shape].tokens) // length)
    flops, tokens = side.SHAPES[shape].flops_per_token(length), rows * length
    peak = max((row["peak_flops"] for runs in measured.values() for row in runs if "peak_flops" in row), default=0.0)
    print(f"\n### {shape}, T={length}, {rows} rows per step ({peak / 1e12:.3f} TFLOP/s measured)\n")
    columns = (
        "",
        "how",
        "tokens/s",
        f"at {LARGE_BATCH_TOKENS:,} tokens per step",
        "optimizer",
        "before the 2nd step",
        "memory",
        "of peak",
    )
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|")
    for name, runs in measured.items():
        title, finished = NAMES[name.split("-")[0]], [row for row in runs if "missing" not in row]
        if not finished:
            print(f"| {title} | {runs[0]['missing']} | | | | | | |")
            continue
        row = {
            key: statistics.median(r[key] for r in finished)
            for key in finished[0]
            if isinstance(finished[0][key], int | float)
        }
        accumulated, optimizer = LARGE_BATCH_TOKENS / tokens, row["optimizer_seconds"]
        large = LARGE_BATCH_TOKENS / (accumulated * (row["seconds"] - optimizer) + optimizer)
        speeds = f"{row['tokens_per_second']:,.0f} | {large:,.0f} | {optimizer / row['seconds']:.0%}"
        memory_and_peak = f"{row['before_seconds']:.0f} s | {row['memory'] / 2**30:.1f} GiB | {large * flops / peak:.0%}"
        print(f"| {title} | {finished[0]['what']} | {speeds} | {memory_and_peak} |")
    sys.stdout.flush()


def checkpoints(arguments: argparse.Namespace) -> None:
    shape, length, every = arguments.shapes.split(",")[0], int(arguments.lengths.split(",")[0]), arguments.save_every
    arguments.steps = every * arguments.rounds
    mean: dict[int, list[float]] = {0: [], every: []}
    for save_every in (0, every, 0, every):
        row = run_side("ours", arguments, shape, length, (f"--save-every={save_every}",))
        mean[save_every].append(statistics.fmean(row["all_seconds"][-arguments.steps :]))
    without, saving = (min(times) for times in mean.values())
    print(
        f"\n{shape}, T={length}: {without:.3f} s per step without checkpoints, {saving:.3f} s with one every {every} steps"
    )
    print(f"a checkpoint costs {(saving - without) * every:.2f} s, {saving / without - 1:.1%} of the step time")


def run_as_side(arguments: argparse.Namespace) -> None:
    """Run one side in this process."""
    name, _, how = arguments.name.partition("-")
    shape = side.SHAPES[arguments.shape]
    tokens = arguments.tokens or shape.tokens
    task = side.Task(
        shape,
        arguments.length,
        tokens,
        arguments.steps,
        how == "hand",
        arguments.device,
        arguments.clock,
        arguments.save_every,
    )
    match name:
        case "ours":
            import ours

            ours.run(task, compile=how == "compile")
        case "trainer":
            import peer_trainer

            peer_trainer.run(task)
        case "litgpt":
            import peer_litgpt

            peer_litgpt.run(task)
        case "nanochat":
            import peer_nanochat

            peer_nanochat.run(task, arguments.nanochat)


def parse_arguments() -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--steps", type=int, default=2, help="measured steps, after one warm-up step")
    common.add_argument("--tokens", type=int, default=0, help="tokens per step; 0: 8,192 for 17M, 2,048 for 124M")
    common.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    common.add_argument("--clock", choices=("wall", "processor"), default="wall")
    common.add_argument("--nanochat", default="", metavar="DIR", help="a checkout of nanochat")
    common.add_argument("--litgpt", default=sys.executable, metavar="PYTHON", help="a Python that has litgpt")
    common.add_argument("--trainer", default=sys.executable, metavar="PYTHON", help="a Python that has transformers")
    common.add_argument("--save-every", type=int, default=0)
    common.add_argument("--timeout", type=int, default=600, help="maximum seconds for one side")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("speed", "checkpoints"):
        command = commands.add_parser(name, parents=[common])
        command.add_argument("--shapes", default=",".join(side.SHAPES))
        command.add_argument("--lengths", default="256,1024")
        command.add_argument("--sides", default="", help=f"sides to run, of {','.join(dict.fromkeys(CPU_SIDES))}")
        command.add_argument(
            "--rounds", type=int, default=1, help="speed: how often each side runs; checkpoints: how many are written"
        )
    commands.choices["checkpoints"].set_defaults(save_every=20)
    characters = commands.add_parser("characters")
    characters.add_argument("text")
    characters.add_argument("--sides", default="nanogpt,ours,best")
    one = commands.add_parser("side", parents=[common])
    one.add_argument("name")
    one.add_argument("shape", choices=list(side.SHAPES))
    one.add_argument("length", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    match arguments.command:
        case "speed":
            speed(arguments)
        case "checkpoints":
            checkpoints(arguments)
        case "side":
            run_as_side(arguments)
        case "characters":
            import characters

            characters.compare(arguments.text, arguments.sides.split(","))
