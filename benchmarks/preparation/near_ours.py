"""Runs lmcraft's search for near-duplicates on the texts of a file; writes what is removed, for whom.

python benchmarks/preparation/near_ours.py TEXTS.jsonl WORK RESULT.json [--workers 1]
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, Record, Step, Tally, Unit
from lmcraft.preparation.execution.journal import Journal
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.execution.steps import run_steps
from lmcraft.preparation.stages.duplicates.near import NearDuplicates

UNIT_BYTES = 16 * 2**20  # the default of a recipe


def sketch_range(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """Sketch the documents whose lines begin in a range of the file."""
    stage = NearDuplicates()
    start = time.process_time()
    documents = sum(1 for _ in stage.sketch(_read(**arguments), out / f"sketch-{stage.name}"))
    return Tally(), {"documents": documents, "cpu_seconds": time.process_time() - start}


def _read(file: str, start: int, stop: int) -> Iterator[Record]:
    with Path(file).open("rb") as lines:
        lines.seek(max(start - 1, 0))
        if start:
            lines.readline()
        while lines.tell() < stop and (line := lines.readline()):
            row = json.loads(line)
            yield Record(DocumentId(0, 0, row["id"]), row["text"], file, row["id"], notes={"source": "planted"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    stage, size = NearDuplicates(), arguments.texts.stat().st_size
    ranges = [
        {"file": str(arguments.texts.resolve()), "start": start, "stop": min(start + UNIT_BYTES, size)}
        for start in range(0, size, UNIT_BYTES)
    ]
    sketch = f"sketch/{stage.name}"
    units = [Unit(sketch, number, "near_ours:sketch_range", part) for number, part in enumerate(ranges)]
    steps = (Step(sketch, lambda results: units, reads=()), *stage.steps())
    arguments.work.mkdir(parents=True)
    results = run_steps(steps, arguments.work, Processes(arguments.workers, 60.0))
    journal = Journal(arguments.work)
    removed = []
    for result in results[f"verdicts/{stage.name}"]:
        for own, verdict in stage.verdicts(journal.folder(result.unit.key)).items():
            if verdict.match is not None:
                removed.append([own.position, verdict.match.position, verdict.value])
    candidates = sum(result.values["candidates"] for result in results[f"verify/{stage.name}"])
    sketching = sum(result.values["cpu_seconds"] for result in results[sketch])
    values = {"removed": removed, "candidates": candidates, "sketch_cpu_seconds": round(sketching, 1)}
    arguments.result.write_text(json.dumps(values))


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    main()
