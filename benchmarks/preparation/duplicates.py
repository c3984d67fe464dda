"""Near-duplicates planted among 100,000 documents: recall, precision and memory of lmcraft's search, and of datatrove's.

python benchmarks/preparation/duplicates.py WORK [--documents 100000] [--workers 1] [--datatrove PEERS/bin/python]

The texts (planted.py) and the similar pairs among them (exact_join.py) are kept in WORK for another run. Prints a table for
the page of benchmarks.

- Recall: of the documents that are at least 0.8 similar to a document that stays and comes before them, those that are
  removed; also by the similarity of planted copies. A document whose only similar one was removed may stay.
- Precision: of the removed documents, those that are at least 0.8 similar to the one that is named and stays; for
  datatrove, which names none, to any other document.
- Memory: the largest sum of the proportional set sizes of the process and those that it started, 20 times a second.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.exact_join import similar_pairs
from benchmarks.preparation.planted import SIMILAR, plant

BINS = (0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
Pairs = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Run:
    """What a search did."""

    removed: dict[int, int | None]  # document: the one that is named
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    more: dict[str, Any]


def measure(command: Sequence[str], log: Path) -> Run:
    """Run a search in a process of its own."""
    start = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        peak = [0]
        watching = threading.Thread(target=_watch, args=(process, peak))
        watching.start()
        output, _ = process.communicate()
        watching.join()
    if process.returncode:
        raise SystemExit(f"{command[1]} failed: see {log}")
    values = json.loads(output.splitlines()[-1])
    seconds = time.perf_counter() - start
    usage = os.times()
    removed = {own: match for own, match, _ in values.pop("removed")}
    return Run(removed, seconds, usage.children_user + usage.children_system, peak[0], values)


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_resident_bytes, _tree(process.pid))))
        time.sleep(0.05)


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int((folder / "stat").read_text().rpartition(")")[2].split()[1])].append(int(folder.name))
        except OSError:
            continue
    members = [pid]
    for member in members:
        members += parents[member]
    return members


def _resident_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def recall(removed: dict[int, int | None], pairs: Pairs) -> tuple[int, int]:
    """Documents that are removed, and that should be: similar to an earlier one that stays."""
    should = {second for (first, second), value in pairs.items() if value >= SIMILAR and first not in removed}
    return len(should & removed.keys()), len(should)


def precision(removed: dict[int, int | None], pairs: Pairs) -> int:
    """Removed documents that are similar to the one that is named and stays, or to any, if none is named."""
    similar = {number for pair, value in pairs.items() if value >= SIMILAR for number in pair}
    right = 0
    for own, match in removed.items():
        if match is None:
            right += own in similar
        else:
            right += match not in removed and pairs.get((min(own, match), max(own, match)), 0.0) >= SIMILAR
    return right


def by_similarity(removed: dict[int, int | None], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of the planted documents in each bin of similarity to their original, those that are removed though it stays."""
    counts = {low: [0, 0] for low in BINS}
    for row in rows:
        # Whichever of the two comes first stays.
        if row["original"] >= 0:
            low = max(low for low in BINS if low <= row["jaccard"])
            counts[low][0] += row["id"] in removed or row["original"] in removed
            counts[low][1] += 1
    return [f"{gone / total:.1%} of {total}" if total else "-" for gone, total in counts.values()]


def prepare_texts(work: Path, documents: int) -> tuple[Path, list[dict[str, Any]], Pairs]:
    """The planted texts and the similar pairs among them, made once."""
    texts, truth = work / f"planted-{documents}.jsonl", work / f"pairs-{documents}.json"
    if not texts.exists():
        rows = [json.dumps(asdict(document), ensure_ascii=False) + "\n" for document in plant(documents)]
        texts.write_text("".join(rows), encoding="utf-8")
    if not truth.exists():
        start = time.perf_counter()
        with texts.open(encoding="utf-8") as file:
            pairs = similar_pairs([json.loads(row)["text"] for row in file], BINS[0])
        print(f"exact join: {len(pairs):,} pairs in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        truth.write_text(json.dumps([[*pair, value] for pair, value in pairs.items()]), encoding="utf-8")
    with texts.open(encoding="utf-8") as file:
        rows = [{**row, "text": ""} for row in map(json.loads, file)]
    return texts, rows, {(first, second): value for first, second, value in json.loads(truth.read_text())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--datatrove", type=Path, help="a Python that has datatrove")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    texts, rows, pairs = prepare_texts(arguments.work, arguments.documents)
    here = Path(__file__).parent
    commands = {"lmcraft": [sys.executable, here / "near_ours.py"]}
    if arguments.datatrove:
        commands["datatrove"] = [arguments.datatrove, here / "near_datatrove.py"]
    heads = [f"{low:.2f}-" for low in BINS[:-1]]
    print(f"| search | recall | precision | memory | seconds | MB/s | {' | '.join(heads)} | 1.00 |")
    print("|---" * (6 + len(BINS)) + "|")
    size = texts.stat().st_size / 1e6
    for name, command in commands.items():
        scratch = arguments.work / f"run-{name}"
        shutil.rmtree(scratch, ignore_errors=True)
        extra = ["--workers", str(arguments.workers)] if name == "lmcraft" else []
        run = measure([*map(str, command), str(texts), str(scratch), *extra], arguments.work / f"{name}.log")
        shutil.rmtree(scratch)
        gone, should = recall(run.removed, pairs)
        right = precision(run.removed, pairs)
        cells = [
            name,
            f"{gone / should:.2%} of {should:,}",
            f"{right / len(run.removed):.2%} of {len(run.removed):,}",
            f"{run.peak_bytes / 1e6:,.0f} MB",
            f"{run.seconds:.0f}",
            f"{size / run.seconds:.1f}",
            *by_similarity(run.removed, rows),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        print(f"{name}: {run.more}", file=sys.stderr)


if __name__ == "__main__":
    main()
