"""Near-duplicates planted among 100,000 documents: recall, precision and memory of lmcraft's search, and of datatrove's.

python benchmarks/preparation/duplicates.py WORK [--documents 100000] [--workers 1] [--datatrove PEERS/bin/python]

The texts (planted.py) and the similar pairs among them (exact_join.py) are kept in WORK for another run. Prints a table for
the page of benchmarks.

- Recall: of the documents that are at least 0.8 similar to a document that stays and comes before them, those that are
  removed; also by the similarity of planted copies. A document whose only similar one was removed may stay.
- Precision: of the removed documents, those that are at least 0.8 similar to the one that is named and stays; for
  datatrove, which names none, to any other document.
- Memory: the peak of the sum of the proportional set sizes of all processes. MB/s: by processor time, of one core.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.exact_join import similar_pairs
from benchmarks.preparation.measuring import Measurement, measure
from benchmarks.preparation.planted import SIMILAR, plant

BINS = (0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
HEADS = (
    "search",
    "recall",
    "precision",
    "memory",
    "processor time",
    "MB/s",
    "near misses",
    *(f"{low:.2f}-" for low in BINS[1:-1]),
    "1.00",
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
Pairs = dict[tuple[int, int], float]


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


def by_similarity(removed: dict[int, int | None], rows: Sequence[dict[str, Any]], pairs: Pairs) -> list[str]:
    """By the similarity of planted documents to their original: near misses that are removed though similar to none, and
    copies of which, or their originals, one is removed."""
    similar = {number for pair, value in pairs.items() if value >= SIMILAR for number in pair}
    counts = {low: [0, 0] for low in BINS}
    for row in (row for row in rows if row["original"] >= 0):
        low = max(low for low in BINS if low <= row["jaccard"])
        if row["role"] == "copy":
            counts[low][0] += row["id"] in removed or row["original"] in removed
        else:
            counts[low][0] += row["id"] in removed and row["id"] not in similar
        counts[low][1] += 1
    return [f"{gone / total:.1%} of {total:,}" if total else "-" for gone, total in counts.values()]


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
    commands = {"lmcraft": [sys.executable, here / "near_ours.py", "--workers", str(arguments.workers)]}
    if arguments.datatrove:
        commands["datatrove"] = [arguments.datatrove, here / "near_datatrove.py"]
    print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|")
    for name, command in commands.items():
        scratch, result = arguments.work / f"run-{name}", arguments.work / f"result-{name}.json"
        shutil.rmtree(scratch, ignore_errors=True)
        run = measure([*command, texts, scratch, result], arguments.work / f"{name}.log", os.environ | ONE_THREAD)
        if run.status:
            raise SystemExit(f"{name} failed: see {arguments.work / f'{name}.log'}")
        shutil.rmtree(scratch)
        values = json.loads(result.read_text())
        removed = {document: match for document, match, _ in values.pop("removed")}
        print(f"{name}: {run.seconds:.0f} s, {values}", file=sys.stderr)
        print(
            f"| {' | '.join([name, *_cells(removed, pairs, run, texts), *by_similarity(removed, rows, pairs)])} |",
            flush=True,
        )


def _cells(removed: dict[int, int | None], pairs: Pairs, run: Measurement, texts: Path) -> list[str]:
    gone, should = recall(removed, pairs)
    return [
        f"{gone / should:.2%} of {should:,}",
        f"{precision(removed, pairs) / len(removed):.2%} of {len(removed):,}",
        f"{run.peak_bytes / 1e6:,.0f} MB",
        f"{run.cpu_seconds:.0f} s",
        f"{texts.stat().st_size / 1e6 / run.cpu_seconds:.1f}",
    ]


if __name__ == "__main__":
    main()
