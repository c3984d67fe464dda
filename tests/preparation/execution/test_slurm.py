"""The script for Slurm, run with a program in place of `sbatch` that does each element at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.preparation.execution.journal import Journal
from lmcraft.preparation.execution.slurm import parse_share, write_job_script
from lmcraft.preparation.execution.steps import run_share, run_steps
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import add_step, outputs, read_step

# Runs the job at once, element by element, and prints its number as `sbatch --parsable` does.
SBATCH = """#!/usr/bin/env bash
set -eu
echo "$@" >> "$JOBS"
array=0
while [ $# -gt 0 ]; do
  case $1 in
    --array=*) array=${1#--array=} ;;
    --wrap) wrap=$2; shift ;;
  esac
  shift
done
for element in $(seq "${array%-*}" "${array#*-}"); do SLURM_ARRAY_TASK_ID=$element sh -c "$wrap" >&2; done
wc -l < "$JOBS"
"""
PROGRAM = """
import sys
print(sys.argv[1:])
"""


def test_the_script_submits_each_step_after_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "a program's.py"
    program.write_text(PROGRAM)
    script, sbatch, jobs = tmp_path / "prepare.sh", tmp_path / "sbatch", tmp_path / "jobs.txt"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    command = [sys.executable, str(program), "prepare", "my recipe.toml", "--out", "$HOME/a"]
    write_job_script(script, command, ["unpack", "verdicts/near-duplicates"], elements=3)
    subprocess.run(["bash", "-n", str(script)], check=True)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOBS": str(jobs)}
    result = subprocess.run(["bash", str(script)], env=environment, check=True, capture_output=True, text=True)
    assert result.stdout == "submitted: job 4, the last, writes the dataset\n"
    base = ["prepare", "my recipe.toml", "--out", "$HOME/a"]
    elements = [
        ["--step", step, "--units", f"{number}::3"] for step in ("unpack", "verdicts/near-duplicates") for number in range(3)
    ]
    calls = [[*base, "--step", "survey", "--units", "0::1"], *([*base, *element] for element in elements), base]
    assert result.stderr.splitlines() == [str(call) for call in calls]
    first, *others = jobs.read_text().splitlines()
    assert "--dependency" not in first
    assert [f"--dependency=afterok:{number} " in line for number, line in enumerate(others, start=1)] == [True] * 3
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(script)], check=True)


def test_elements_do_the_same_as_one_machine(tmp_path: Path) -> None:
    steps = [read_step(7), add_step(), add_step("total", "add", 4)]
    for name in ("read", "add", "total"):
        for number in (2, 0, 1):
            run_share(steps, tmp_path, InProcess(), name, parse_share(f"{number}::3"))
    journal = Journal(tmp_path)
    assert all(journal.has_outputs(unit.key) for unit in steps[0].units({}))
    results = run_steps(steps, tmp_path, InProcess())
    reference = run_steps(steps, tmp_path / "other", InProcess())
    assert outputs(tmp_path, results) == outputs(tmp_path / "other", reference)
    assert [result.seconds for result in results["total"]] == [journal.read(results["total"][0].unit.key).seconds]


def test_an_element_needs_the_steps_before_it(tmp_path: Path) -> None:
    steps = [read_step(7), add_step()]
    run_share(steps, tmp_path, InProcess(), "read", parse_share("0::2"))
    with pytest.raises(RunError, match=r"^step 'add' needs step 'read', which lacks 3 units: run it$"):
        run_share(steps, tmp_path, InProcess(), "add", parse_share("0::2"))
    with pytest.raises(UserError, match=r"^step='encode' is not a step of this preparation: use one of read, add$"):
        run_share(steps, tmp_path, InProcess(), "encode", parse_share("0::2"))


@pytest.mark.parametrize("text", ["", "1", "2::2", "-1::4", "0::0", "a::b", "1:2:3", "0::9999999999"])
def test_a_share_is_refused_unless_it_is_one(text: str) -> None:
    with pytest.raises(UserError, match=f"^units='{text}' is not a share of the units: use I::N"):
        parse_share(text)
