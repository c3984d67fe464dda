"""How long the index of runs takes: 200 runs of 10,000 steps, then thousands of folders.

    python benchmarks/runs.py [--runs 200] [--steps 10000] [--folders 5000]

Writes the runs to a temporary folder, and prints a Markdown table: the first look, lists and curves after it, a round in
which nothing has changed, a round in which every run has grown, and the memory of all curves. `peer` is TensorBoard's reader
of event files with the same curves of 10 of the runs, if it is installed. Times are those of the processor, so that other
programs on the machine do not count.
"""

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lmcraft.json_lines import format_json
from lmcraft.runs.exports import export_tensorboard
from lmcraft.runs.index import RunIndex

NAMES = ("loss", "learning_rate", "gradient_norm", "tokens", "tokens_per_second", "seconds", "peak_memory", "share_of_peak")
REPEATS = 50
PEER_RUNS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("runs", 200), ("steps", 10_000), ("folders", 5000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    print("| what | processor time |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        measure_runs(Path(folder), arguments.runs, arguments.steps)
    with tempfile.TemporaryDirectory() as folder:
        measure_folders(Path(folder), arguments.folders)


def measure_runs(folder: Path, runs: int, steps: int) -> None:
    for n in range(runs):
        write_run(folder / f"run-{n:03d}", steps)
    index = RunIndex(folder)
    report(f"first look at {runs} runs of {steps:,} steps", lambda: index.refresh())
    ids = [run.id for run in index.runs()]
    report("list of all runs", lambda: index.changes(), REPEATS)
    first = iter(ids)
    report("all curves of a run, the first time", lambda: format_json(index.series(next(first))), min(runs, REPEATS))
    report("all curves of a run, after that", lambda: format_json(index.series(ids[0])), REPEATS)
    report("two curves of a run", lambda: format_json(index.series(ids[0], ["loss", "validation_loss"])), REPEATS)
    for id in ids:
        index.series(id, ["loss"])
    memory = sum(run.num_bytes for run in index.runs())
    print(f"| memory of the columns of all runs | {memory / 2**20:.0f} MiB |")
    report("a round in which nothing has changed", lambda: index.refresh(), REPEATS)
    for n in range(runs):
        with (folder / f"run-{n:03d}" / "lmcraft" / "metrics.jsonl").open("a") as file:
            file.write(row(steps + 1))
    report(f"a round in which {runs} runs have grown", lambda: index.refresh())
    print(f"| peak memory of the process | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB |")
    measure_peer(folder)


def measure_peer(folder: Path) -> None:
    """The first time that TensorBoard's reader has all curves of a run, beside ours of the same runs."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        print("| TensorBoard's reader | not installed |", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as parent:
        few = Path(parent) / "few"
        few.mkdir()
        for n in range(PEER_RUNS):
            (folder / f"run-{n:03d}").rename(few / f"run-{n:03d}")
        events = Path(parent) / "events"
        index = RunIndex(few)
        index.refresh()
        export_tensorboard(index, events)
        paths = iter(sorted(events.iterdir()))

        def read() -> None:
            accumulator = EventAccumulator(str(next(paths)), size_guidance={"scalars": 0})
            accumulator.Reload()
            for name in accumulator.Tags()["scalars"]:
                accumulator.Scalars(name)

        report("peer: TensorBoard's reader, all curves of a run, the first time", read, PEER_RUNS)


def measure_folders(folder: Path, count: int) -> None:
    for n in range(count):
        run = folder / f"group-{n % 50:02d}" / f"run-{n:04d}"
        write_run(run, 5)
        for file in (run / "lmcraft").iterdir():
            os.utime(file, (0, 0))  # they have been at rest for long
    index = RunIndex(folder)
    report(f"first look at {count:,} short runs", lambda: index.refresh())
    report(f"a round in which none of {count:,} runs has changed", lambda: index.refresh(), 20)
    report(f"list of {count:,} runs", lambda: index.changes(), 20)


def write_run(folder: Path, steps: int) -> None:
    files = folder / "lmcraft"
    files.mkdir(parents=True)
    (files / "run.toml").write_text(f'max_steps = {steps}\nout = "x"\ndepth = 1\n')
    (files / "status.json").write_text('{"state": "stopped"}')
    with (files / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            file.write(row(step))
            if step % 250 == 0:
                file.write(json.dumps({"step": step, "validation_loss": 3 + random.random()}) + "\n")


def row(step: int) -> str:
    return json.dumps({"step": step, **{name: random.random() for name in NAMES}}) + "\n"


def report(title: str, function: Callable[[], object], repeats: int = 1) -> None:
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    slowest = f" (slowest of {repeats}: {max(times) * 1000:,.1f} ms)" if repeats > 1 else ""
    print(f"| {title} | {statistics.median(times) * 1000:,.1f} ms{slowest} |", flush=True)


if __name__ == "__main__":
    main()
