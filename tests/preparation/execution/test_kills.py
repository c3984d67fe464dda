"""SIGKILL at any moment and a disk that is really full: the same command continues, and does nothing twice."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lmcraft.json_lines import parse_json
from lmcraft.preparation.execution.steps import run_steps
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import MODULE, add_step, outputs, read_step

UNITS, KILLS = 40, 10
TOTAL = sum(number**2 for number in range(10 * UNITS))


def command(work: Path, workers: int, **arguments: object) -> list[str]:
    return [sys.executable, "-m", MODULE, str(work), str(workers), json.dumps(arguments)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path)}


def seconds_by_key(work: Path) -> dict[str, float]:
    """The time that each finished unit took, which tells one run of it from another."""
    files = [file for file in (work / "units").glob("*.json") if file.name.count(".") == 1]
    return {file.stem: parse_json(file.read_bytes())["seconds"] for file in files}


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    chance, arguments = random.Random(0), {"count": UNITS, "seconds": 0.01}
    finished: dict[str, float] = {}
    for kill in range(KILLS):
        process = subprocess.Popen(command(tmp_path / "work", kill % 3 + 1, **arguments), env=environment())
        time.sleep(chance.uniform(0.2, 1.5))
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "workers end with their parent"
        now = seconds_by_key(tmp_path / "work")
        assert finished.items() <= now.items()
        finished = now
    end = subprocess.run(
        command(tmp_path / "work", 2, **arguments), env=environment(), check=True, capture_output=True, text=True
    )
    assert int(end.stdout) == TOTAL
    assert finished.items() <= seconds_by_key(tmp_path / "work").items()
    assert not list((tmp_path / "work" / "units").glob("*.tmp-*"))
    steps = [read_step(**arguments), add_step(group=4), add_step("total", "add", 100)]
    reference = run_steps(steps, tmp_path / "reference", InProcess(), keep=("read", "add"))
    assert outputs(tmp_path / "work", reference) == outputs(tmp_path / "reference", reference)


SCRIPT = """
mount -t tmpfs -o size=8m none "$1" || exit 77
head -c 4000000 /dev/zero > "$1/filler"
shift
"$@"; echo "status $?"
rm "$FOLDER/filler"
"$@"; echo "status $?"
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(tmp_path: Path, workers: int) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("this system has no command that mounts a small disk")
    run = command(tmp_path / "work", workers, count=5, padding=1_000_000)
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SCRIPT, "sh", str(tmp_path), *run],
        env=environment() | {"FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 77 or "unshare failed" in result.stderr:
        pytest.skip("this system does not let its users mount a small disk")
    sentence, status, total, end = result.stdout.splitlines()
    assert re.fullmatch(
        f"the disk of '{tmp_path}/work' is full after [34] of 5 units of step 'read': free at least 1\\.. MiB and run the "
        "same command again; what is finished is kept",
        sentence,
    )
    assert (status, total, end) == ("status 1", str(sum(number**2 for number in range(50))), "status 0")
