"""The same dataset from any number of workers, from Ray, from the elements of Slurm's jobs, and after kills."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lmcraft import prepare
from lmcraft.energy.record import ENERGY_FILE, EnergyRecord, EnergyRow
from lmcraft.errors import InterruptedRunError
from lmcraft.json_lines import parse_json
from tests.preparation.ships import write_ships

STAGES = """
  { kind = "normalize" },
  { kind = "hook", function = "fatal_hook:judge" },
  { kind = "exact-duplicates" },
  { kind = "near-duplicates" },
"""
HOOK = """
import os, signal

def judge(record):
    if "number 17 " in record.text:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of some ten units; document 17 ends its worker."""
    (tmp_path / "fatal_hook.py").write_text(HOOK)
    monkeypatch.syspath_prepend(tmp_path)
    return write_ships(tmp_path, 120, STAGES, "[executor]\nunit_bytes = 1024")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ENERGY_FILE}  # differs each time


def energies(folder: Path) -> Sequence[EnergyRow]:
    return EnergyRecord.read(folder / ENERGY_FILE).rows


def reference(recipe: Path) -> dict[str, bytes]:
    return contents(prepare(str(recipe), out=recipe.parent / "reference" / "out", workers=1).path)


def test_any_number_of_workers_gives_the_same_dataset(recipe: Path) -> None:
    first = reference(recipe)
    manifest = parse_json(first["manifest.json"])
    assert sum(split["documents"] for split in manifest["splits"].values()) == 119
    [skipped] = [parse_json(line) for line in first["skipped.jsonl"].splitlines()]
    assert skipped["file"] == f"{recipe.parent}/rows.jsonl"
    assert skipped["reason"] == "its worker was ended by signal 9 (SIGKILL)"
    assert manifest["poisoned"]["reasons"] == {skipped["reason"]: 1}
    for workers in (2, 3):
        dataset = prepare(str(recipe), out=recipe.parent / f"{workers}" / "out", workers=workers)
        assert contents(dataset.path) == first
    [row] = energies(dataset.path)
    assert row.kind == "prepare" and row.energy.joules > 0
    assert row.tokens == sum(split["tokens"] for split in manifest["splits"].values())


def test_elements_of_slurm_jobs_give_the_same_dataset(recipe: Path) -> None:
    out = recipe.parent / "slurm" / "out"
    prepare(str(recipe), out=out, backend="slurm", workers=2)
    script = out.with_name("out.slurm.sh").read_text()
    assert "elements=2\n" in script and not out.exists()
    steps = re.findall(r"^submit_step '?([\w/-]+)'? ", script, re.MULTILINE)
    assert steps[0] == "survey" and "verdicts/near-duplicates" in steps
    for step in steps:
        for number in (1, 0):
            prepare(str(recipe), out=out, step=step, units=f"{number}::2", workers=1)
    prepare(str(recipe), out=out)
    assert len(energies(out)) == 2 * len(steps) + 1 and all(row.energy.joules > 0 for row in energies(out))
    assert contents(out) == reference(recipe)


@pytest.mark.slow
def test_the_script_for_slurm_runs(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jobs run at once, with a program in place of sbatch."""
    monkeypatch.chdir(recipe.parent)
    recipe.write_text(recipe.read_text().replace(STAGES, '{ kind = "normalize" }'))  # few steps
    prepare(recipe.name, out=Path("slurm/out"), backend="slurm", workers=1)
    sbatch = recipe.parent / "sbatch"
    sbatch.write_text('#!/bin/sh\nset -e\nfor last; do :; done\nSLURM_ARRAY_TASK_ID=0 sh -c "$last" >&2\necho 7\n')
    sbatch.chmod(0o755)
    environment = os.environ | {"PATH": f"{recipe.parent}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(["bash", "slurm/out.slurm.sh"], env=environment, check=True)
    assert contents(recipe.parent / "slurm" / "out") == reference(recipe)


@pytest.mark.slow
def test_two_ray_workers_give_the_same_dataset(recipe: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    dataset = prepare(str(recipe), out=recipe.parent / "ray" / "out", backend="ray", workers=2)
    assert contents(dataset.path) == reference(recipe)


@pytest.mark.slow
def test_kills_change_nothing(recipe: Path) -> None:
    out = recipe.parent / "killed" / "out"
    units = out.parent / ".out.lmcraft-prepare" / "units"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "lmcraft", "prepare", str(recipe), "--out", str(out), "--workers"]
    finished: dict[str, float] = {}
    for workers in (1, 2, 3):
        process = subprocess.Popen([*command, str(workers)], env=environment)
        target = len(finished) + 5
        while process.poll() is None and len(seconds_by_key(units)) < target:
            time.sleep(0.01)
        process.kill()
        process.wait()
        now = seconds_by_key(units)
        assert finished.items() <= now.items(), "nothing is done twice"
        finished = now
    subprocess.run([*command, "2"], env=environment, check=True)
    assert contents(out) == reference(recipe)


def test_a_signal_keeps_what_is_finished(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = recipe.parent / "signal" / "out"
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedRunError, match="the same command continues"):
        patch.setattr(
            "lmcraft.preparation.execution.progress.Progress.advance", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
        )
        prepare(str(recipe), out=out, workers=1)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not out.exists()
    assert seconds_by_key(out.parent / ".out.lmcraft-prepare" / "units")
    prepare(str(recipe), out=out, workers=1)
    assert contents(out) == reference(recipe)
    assert [row.energy.joules > 0 for row in energies(out)] == [True, True]  # the start that was stopped, too
    assert not (out.parent / ".out.lmcraft-prepare").exists()


def seconds_by_key(units: Path) -> dict[str, float]:
    """The time that each finished unit took, which tells one run of it from another."""
    files = [file for file in units.glob("*.json") if file.name.count(".") == 1]
    return {file.stem: parse_json(file.read_bytes())["seconds"] for file in files}
