"""Steps of toy units: read numbers, square them, and add them up."""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lmcraft.errors import LmcraftError
from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, Step, Tally, Unit, UnitResult
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.execution.steps import run_steps

MODULE = "tests.preparation.execution.toy"


def read(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write squares of the numbers from `first` on; a number in `trouble` brings some."""
    documents = [DocumentId(0, arguments["first"], number) for number in range(arguments["count"])]
    kept = []
    position.is_timed = arguments.get("is_timed", True)
    for document in documents:
        if document in position.skipped:
            continue
        position.at(document)
        cause_trouble(arguments.get("trouble", {}).get(f"{document.file + document.position}", ""), arguments)
        time.sleep(arguments.get("seconds", 0))
        kept.append(document.file + document.position)
    (out / "squares.txt").write_text("".join(f"{number**2}\n" for number in kept))
    (out / "padding").write_bytes(bytes(arguments.get("padding", 0)))
    note_run(arguments, "read")
    return Tally({"read/documents": len(kept)}, {"numbers": [len(kept)]}), {"documents": len(kept)}


def add(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write the sum of the numbers of the inputs, plus `plus`."""
    total = sum(int(line) for folder in inputs.values() for line in (folder / "squares.txt").read_text().split())
    (out / "squares.txt").write_text(f"{total + arguments.get('plus', 0)}\n")
    note_run(arguments, "add")
    return Tally({"add/units": 1}), {"total": total}


def cause_trouble(kind: str, arguments: JsonObject) -> None:
    marker = Path(arguments.get("trace", ".")) / f"trouble-{kind}"
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(600)
        case "slow":
            time.sleep(1)
        case "raise":
            raise ValueError("a bad document")
        case "memory":
            raise MemoryError
        case "missing":
            Path("/nonexistent/file").read_text()
        case "kill-once" if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def note_run(arguments: JsonObject, name: str) -> None:
    """Leave a trace of a run of a unit, outside of the work folder."""
    if trace := arguments.get("trace"):
        with (Path(trace) / "runs.txt").open("a") as file:
            file.write(f"{name} {arguments.get('first', arguments.get('number'))}\n")


def read_step(count: int = 6, size: int = 10, **arguments: object) -> Step:
    def units(results: Mapping[str, Sequence[UnitResult]]) -> list[Unit]:
        return [
            Unit("read", n, f"{MODULE}:read", {"first": n * size, "count": size, **arguments}, size=size + n)
            for n in range(count)
        ]

    return Step("read", units, reads=())


def add_step(name: str = "add", of: str = "read", group: int = 2, **arguments: object) -> Step:
    def units(results: Mapping[str, Sequence[UnitResult]]) -> list[Unit]:
        keys = [result.unit.key for result in results[of]]
        groups = [keys[start : start + group] for start in range(0, len(keys), group)]
        return [
            Unit(name, n, f"{MODULE}:add", {"number": n, **arguments}, inputs=tuple(part), size=1)
            for n, part in enumerate(groups)
        ]

    return Step(name, units, reads=(of,))


def outputs(work: Path, results: Mapping[str, Sequence[UnitResult]]) -> dict[str, str]:
    """The texts of all files that are there, by key and name."""
    folders = [work / "units" / result.unit.key for finished in results.values() for result in finished]
    return {
        f"{folder.name}/{file.name}": file.read_text()
        for folder in folders
        if folder.exists()
        for file in sorted(folder.iterdir())
    }


def main() -> None:
    """Run steps as a command does: WORK, the number of workers, and the arguments of `read_step`."""
    work, workers, arguments = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    steps = [read_step(**arguments), add_step(group=4), add_step("total", "add", 100)]
    try:
        results = run_steps(steps, work, Processes(workers, 60), keep=("read", "add"))
    except LmcraftError as error:
        print(error)
        sys.exit(error.exit_status)
    print(results["total"][0].values["total"])


if __name__ == "__main__":
    main()
