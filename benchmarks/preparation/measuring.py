"""Seconds, processor time and memory of a command with all its descendants (Linux).

As a program it runs the command, adopts what the command leaves behind, and prints the figures as JSON.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.1
MAX_SAMPLES = 2000  # kept: every second one is dropped when there are more


@dataclass(frozen=True)
class Measurement:
    """What a command took."""

    status: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """The peak, of ten samples a second, of the sum of the processes' proportional set sizes."""
    samples: list[tuple[float, int]]
    """Seconds since the start, and that sum."""

    def quarter_peaks(self) -> list[int]:
        """The peak of each quarter of the time: equal ones say that memory does not grow."""
        end = self.samples[-1][0] if self.samples else 0.0
        quarters = [[size for second, size in self.samples if q <= 4 * second / (end or 1.0) <= q + 1] for q in range(4)]
        return [max(sizes, default=0) for sizes in quarters]


def measure(command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> Measurement:
    """Run a command to its end, with its output in `log`."""
    launcher = [sys.executable, __file__, str(log), *map(str, command)]
    process = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    row = json.loads(process.stdout)
    return Measurement(**{**row, "samples": [tuple(sample) for sample in row["samples"]]})


def descendants(process: int) -> list[int]:
    """The processes below one."""
    numbers: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            for child in map(int, (thread / "children").read_text().split()):
                numbers += [child, *descendants(child)]
    return numbers


def memory(processes: Sequence[int]) -> int:
    """The sum of the proportional set sizes of processes, in bytes: shared pages count once."""
    total = 0
    for process in processes:
        with suppress(OSError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _run(log: str, command: list[str]) -> dict[str, object]:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    start, status, samples, every, ticks = time.perf_counter(), -1, list[tuple[float, int]](), 1, 0
    peak = 0
    with Path(log).open("wb") as output:
        main = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL).pid
        while True:
            try:
                process, code = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if process:
                status = os.waitstatus_to_exitcode(code) if process == main else status
                continue
            used = memory(descendants(os.getpid()))
            peak = max(peak, used)
            if ticks % every == 0:
                samples.append((round(time.perf_counter() - start, 2), used))
            if len(samples) > MAX_SAMPLES:
                samples, every = samples[::2], 2 * every
            ticks += 1
            time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    return {"status": status, "seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak, "samples": samples}


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], sys.argv[2:])))
