"""Kill test of a preparation: SIGKILL to its whole process group at random moments, then the same command again.

The dataset must equal, file by file, that of an undisturbed run: after the kills, with 1, 2 and 3 workers, and on a local
Ray cluster with two workers. No unit that was finished may run again.

python benchmarks/preparation/kills.py --kills 10 --megabytes 12 [--no-ray]
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))
from measuring import descendants
from running import prepare_command, write_recipe
from throughput import sources
from volume import write_folders

UNIT_BYTES = 512 << 10
PATIENCE_SECONDS = 30.0
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

    def start(self, out: Path, *flags: str) -> subprocess.Popen[bytes]:
        """Start the preparation in a process group of its own."""
        with (self.folder / f"{out.name}.log").open("ab") as log:
            command = [str(part) for part in prepare_command(self.recipe, out, *flags)]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self, name: str, *flags: str) -> tuple[Digests, float]:
        """Run to the end; returns the files' digests and the seconds."""
        out, begin = self.folder / name, time.perf_counter()
        status = self.start(out, *flags).wait()
        seconds = time.perf_counter() - begin
        if status:
            log = (self.folder / f"{name}.log").read_text(errors="replace")
            sys.exit(f"{name} ended with status {status}:\n{log[-2000:]}")
        return digests(out), seconds

    def kill(self, name: str, kills: int, seconds: float) -> Digests:
        """Run, and kill at `kills` moments spread over the time of an undisturbed run; the last run ends by itself."""
        done = 0
        finished = self._finished_units(name)
        while done < kills:
            process = self.start(self.folder / name, "--workers", "2")
            # Each run gets a little further, so that the moments are spread over the whole preparation.
            time.sleep(self.draw.uniform(0.3, 1.7) * seconds / kills + self.startup)
            workers = descendants(process.pid)
            if process.poll() is not None:
                print(f"the preparation was complete after {done} kills: raise --megabytes for more", flush=True)
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            self._wait_for_end(workers)
            units = self._finished_units(name)
            for file, changed in finished.items():
                if file in units and units[file] != changed:
                    self.fault(f"the finished unit {file} ran again")
            print(f"kill {done}: {len(units)} units are finished", flush=True)
            finished = units
        return self.run(name, "--workers", "2")[0]

    @property
    def startup(self) -> float:
        """Seconds until the first unit runs, roughly: Python, imports and the survey."""
        return 1.0

    def _finished_units(self, name: str) -> dict[str, int]:
        """The records of finished units in the work folder, with their times of writing."""
        work = self.folder / f".{name}.lmcraft-prepare"
        files = (file for file in work.rglob("*.json") if not file.name.startswith("."))
        return {str(file.relative_to(work)): file.stat().st_mtime_ns for file in files if len(file.stem) == 32}

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
        expected, seconds = test.run("calm", "--workers", "2")
        print(f"undisturbed, 2 workers: {len(expected)} files in {seconds:.1f} s", flush=True)
        for workers in ("1", "3"):
            test.compare(f"{workers} workers", test.run(f"workers-{workers}", "--workers", workers)[0], expected)
        if not arguments.no_ray:
            ray = test.run("ray", "--backend", "ray", "--workers", "2")[0]
            test.compare("Ray, 2 workers", ray, expected)
        test.compare("after kills", test.kill("killed", arguments.kills, seconds), expected)
        for left in Path(folder).glob(".*"):
            test.fault(f"{left.name} is left")
            shutil.rmtree(left)
    print(f"{test.faults} faults")
    return 1 if test.faults else 0


if __name__ == "__main__":
    sys.exit(main())
