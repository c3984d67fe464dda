"""Kill test of a preparation: SIGKILL to its whole process group at random moments, then the same command again.

The dataset must equal, file by file, that of an undisturbed run: after the kills, with 1, 2 and 3 workers, and on a local
Ray cluster with two workers. No unit that was finished may run again.

python benchmarks/preparation/kills.py --kills 10 --megabytes 12 [--no-ray]
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.measuring import descendants
from benchmarks.preparation.running import prepare_command, write_recipe
from benchmarks.preparation.throughput import sources
from benchmarks.preparation.volume import write_folders

UNIT_BYTES = 512 << 10
PATIENCE_SECONDS = 30.0
STARTING_SHARE = 0.2  # of the kills, within two seconds of the start; the others while units run
Digests = Mapping[str, str]


def digests(folder: Path) -> Digests:
    """The SHA-256 of each file of a dataset."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Kills:
    """One recipe, run with and without kills in one folder."""

    def __init__(self, folder: Path, megabytes: float, seed: int) -> None:
        self.folder, self.faults = folder, 0
        self.draw = random.Random(seed)
        write_folders(folder / "input", megabytes, 4, seed)
        self.recipe = write_recipe(
            folder / "recipe.toml", sources(folder / "input"), vocab_size=2048, executor={"unit_bytes": UNIT_BYTES}
        )

    def out(self, name: str) -> Path:
        """The dataset of a run: always the same name, since it stands in the report."""
        return self.folder / name / "data"

    def start(self, name: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start the preparation in a process group of its own."""
        self.out(name).parent.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(part) for part in prepare_command(self.recipe, self.out(name), *flags)]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self, name: str, *flags: str) -> Digests:
        """Run to the end; returns the files' digests."""
        status = self.start(name, *flags).wait()
        if status:
            log = (self.folder / f"{name}.log").read_text(errors="replace")
            sys.exit(f"{name} ended with status {status}:\n{log[-2000:]}")
        return digests(self.out(name))

    def run_calmly(self, name: str) -> tuple[Digests, float]:
        """Run with two workers to the end; returns the files' digests, and the seconds after the first unit began."""
        process = self.start(name, "--workers", "2")
        self._wait_for_work(process, name)
        begin = time.perf_counter()
        process.wait()
        seconds = time.perf_counter() - begin
        if process.returncode:
            sys.exit(f"{name} ended with status {process.returncode}: see {name}.log")
        return digests(self.out(name)), seconds

    def kill(self, name: str, kills: int, seconds: float) -> Digests:
        """Run, and kill at moments spread over the work of an undisturbed run; the last run ends by itself."""
        finished: Mapping[str, int] = {}
        for number in range(1, kills + 1):
            process = self.start(name, "--workers", "2")
            if self.draw.random() < STARTING_SHARE:
                time.sleep(self.draw.uniform(0, 2))
            else:
                self._wait_for_work(process, name)
                time.sleep(self.draw.uniform(0, 3) * seconds / kills)
            workers = descendants(process.pid)
            if process.poll() is not None:
                print(f"the preparation was complete after {number - 1} kills: raise --megabytes", flush=True)
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._wait_for_end(workers)
            units = self._finished_units(name)
            for file in finished.keys() & units.keys():
                if units[file] != finished[file]:
                    self.fault(f"the finished unit {file} ran again")
            print(f"kill {number}: {len(units)} units are finished", flush=True)
            finished = units
        return self.run(name, "--workers", "2")

    def _work(self, name: str) -> Path:
        return self.out(name).with_name(f".{self.out(name).name}.lmcraft-prepare") / "units"

    def _finished_units(self, name: str) -> dict[str, int]:
        """The tallies of finished units in the work folder, which are written once, with their times."""
        return {file.name: file.stat().st_mtime_ns for file in self._work(name).glob("*.tally.json")}

    def _wait_for_work(self, process: subprocess.Popen[bytes], name: str) -> None:
        """Wait until a worker begins a unit, or the command ends."""
        while process.poll() is None and not any(self._work(name).glob("*.tmp-*")):
            time.sleep(0.02)

    def _wait_for_end(self, processes: list[int]) -> None:
        """Workers must end with their parent."""
        end = time.monotonic() + PATIENCE_SECONDS
        while any(Path(f"/proc/{process}").exists() for process in processes):
            if time.monotonic() > end:
                self.fault(f"workers {processes} live on without their parent")
                return
            time.sleep(0.05)

    def compare(self, name: str, result: Digests, expected: Digests) -> None:
        """Print whether two datasets are identical."""
        different = sorted(file for file in result.keys() | expected.keys() if result.get(file) != expected.get(file))
        if different:
            self.fault(f"{name}: {', '.join(different)} differ")
        else:
            print(f"{name}: {len(result)} files, identical", flush=True)

    def fault(self, text: str) -> None:
        self.faults += 1
        print(f"FAULT: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ray", action="store_true")
    parser.add_argument("--scratch", type=Path, help="folder for the text and the datasets, which are deleted afterwards")
    arguments = parser.parse_args()
    with TemporaryDirectory(dir=arguments.scratch) as folder:
        test = Kills(Path(folder), arguments.megabytes, arguments.seed)
        expected, seconds = test.run_calmly("calm")
        print(f"undisturbed, 2 workers: {len(expected)} files after {seconds:.1f} s of work", flush=True)
        for workers in ("1", "3"):
            test.compare(f"{workers} workers", test.run(f"workers-{workers}", "--workers", workers), expected)
        if not arguments.no_ray:
            test.compare("Ray, 2 workers", test.run("ray", "--backend", "ray", "--workers", "2"), expected)
        test.compare("after kills", test.kill("killed", arguments.kills, seconds), expected)
        for left in Path(folder).glob("*/.*"):
            test.fault(f"{left} is left")
    print(f"{test.faults} faults")
    return 1 if test.faults else 0


if __name__ == "__main__":
    sys.exit(main())
