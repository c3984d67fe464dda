"""Workers in processes of their own: what they do with trials that fail, and with signals, kills and lost leases."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.hyperparameters.crew import Crew
from lmcraft.hyperparameters.store import MAX_ATTEMPTS, TrialStore
from lmcraft.hyperparameters.trial import State, Trial, trial_folder
from lmcraft.hyperparameters.worker import LOG, Job
from tests.hyperparameters.fakes import STEPS, FakeWork

PROGRAM = "import sys; from tests.hyperparameters.fakes import run_crew; run_crew(*sys.argv[1:])"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Folder:
    """The folder and the table of a search."""

    out: Path
    storage: str
    name: str
    store: TrialStore

    @classmethod
    def create(cls, storage: str, out: Path) -> "Folder":
        store = TrialStore.open(storage, uuid4().hex)
        store.create({})
        return cls(out, storage, store.name, store)

    def work(self, deeds: Sequence[str], workers: int = 1, **settings: float) -> str:
        """Run workers to the end of the search."""
        work = FakeWork(deeds, int(settings.pop("max_tokens", 0)))
        job = Job(self.storage, self.name, self.out, work, **settings)
        return Crew(job, workers).run(lambda: sum(trial.step for trial in self.store.trials()))

    def calls(self, number: int) -> list[tuple[int, int]]:
        """The first step and the process of each call that trained a trial."""
        lines = (trial_folder(self.out, number) / "calls").read_text(encoding="utf-8").splitlines()
        return [(int(step), int(process)) for step, process in map(str.split, lines)]

    def log(self, number: int) -> str:
        return (trial_folder(self.out, number) / LOG).read_text(encoding="utf-8")

    def start(self, deeds: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start two workers and their parent."""
        arguments = [self.storage, self.name, str(self.out), ",".join(deeds)]
        return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.create(f"sqlite:///{tmp_path / 'trials.sqlite'}", tmp_path)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def is_complete(trial: Trial) -> bool:
    return trial.state is State.COMPLETE and trial.step == STEPS and trial.tokens == STEPS and trial.worker == ""


def test_two_workers_share_the_trials(storage: str, tmp_path: Path) -> None:
    folder = Folder.create(storage, tmp_path)
    assert folder.work([""] * 8, workers=2) == ""
    assert all(trial.energy_kwh > 0 for trial in folder.store.trials())  # with what their workers drew before them
    trials = folder.store.trials()
    assert [trial.number for trial in trials] == list(range(8)) and all(map(is_complete, trials))
    assert [step for step, _ in folder.calls(0)] == [0, STEPS // 2]  # paused, then continued
    assert trials[0].values == {"loss": 1 / STEPS} and len(trials[0].curve) == STEPS
    assert folder.store.totals().seconds >= 0 and folder.store.totals().tokens == 8 * STEPS


def test_trials_can_have_processes_of_their_own(folder: Folder) -> None:
    assert folder.work(["", ""], fresh_processes=True) == ""
    assert all(map(is_complete, folder.store.trials()))
    assert (
        len({process for number in range(2) for _, process in folder.calls(number)}) == 4
    )  # both are paused, and continued


def test_what_a_command_prints_goes_to_the_log_of_its_trial(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    folder.work([""])
    assert folder.log(0).splitlines().count("written past Python") == STEPS and "step 1\n" in folder.log(0)
    assert capfd.readouterr() == ("", "")


def test_trials_that_fail_do_not_end_the_search(folder: Folder) -> None:
    folder.work(["refuse", "fail", "break", ""])
    refused, failed, broken, trained = folder.store.trials()
    assert (refused.state, refused.error) == (State.INFEASIBLE, "depth=0 is too small: use 1")
    assert (failed.state, failed.error) == (State.FAILED, "the loss of step 2 is not a number")
    assert (broken.state, broken.error) == (State.FAILED, "ZeroDivisionError: by zero")
    assert failed.step == 1 and failed.tokens == 1  # what it used counts
    assert "in _break" in folder.log(2) and "is not a number" in folder.log(1)
    assert is_complete(trained)


def test_a_full_disk_loses_no_trial(folder: Folder) -> None:
    with pytest.raises(RunError, match="'weights' cannot be written, since the disk is full"):
        folder.work(["", "fill 1"])
    assert [trial.state for trial in folder.store.trials()] == [State.COMPLETE, State.WAITING]
    folder.work(["", "fill 1"])
    assert all(map(is_complete, folder.store.trials()))


def test_an_error_of_the_scheduler_ends_the_search(folder: Folder) -> None:
    job = Job(folder.storage, folder.name, folder.out, FakeWork([""], refusal="the grid has no points"))
    with pytest.raises(UserError, match="the grid has no points"):
        Crew(job, 2).run(lambda: 0)


def test_a_table_that_cannot_be_opened_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("no database " * 200, encoding="utf-8")
    with pytest.raises(UserError, match="file is not a database"):
        Crew(Job(f"sqlite:///{tmp_path / 'table'}", "search", tmp_path, FakeWork([""])), 2).run(lambda: 0)


def test_a_worker_that_dies_is_replaced_and_its_trial_continued(storage: str, tmp_path: Path) -> None:
    folder = Folder.create(storage, tmp_path)
    folder.work(["", "die 2", ""], workers=2)
    assert [trial.state for trial in folder.store.trials()] == [State.COMPLETE] * 3
    assert [step for step, _ in folder.calls(1)] == [0, 1, 1, STEPS // 2]


def test_a_trial_that_kills_every_worker_fails(folder: Folder) -> None:
    folder.work(["die", ""])
    failed, trained = folder.store.trials()
    assert failed.state is State.FAILED and len(folder.calls(0)) in (MAX_ATTEMPTS, MAX_ATTEMPTS + 1)
    assert is_complete(trained)


def test_a_limit_stops_a_training_and_a_larger_one_continues_it(folder: Folder) -> None:
    assert folder.work(["", "hang"], max_tokens=STEPS + 1, beat_seconds=0.6) == "max_tokens are used up"
    assert folder.store.trials()[1].state is State.WAITING and folder.store.trials()[1].step == 2
    folder.work(["", "hang"])
    assert all(map(is_complete, folder.store.trials()))


def test_a_worker_that_slept_past_its_lease_drops_the_trial_and_goes_on(folder: Folder) -> None:
    def wake() -> None:
        wait_until(lambda: any(trial.number == 1 and is_complete(trial) for trial in folder.store.trials()))
        sleeper = folder.calls(0)[0][1]
        wait_until(lambda: folder.store.trials()[0].worker.split(":")[1:2] != [str(sleeper)])
        os.kill(sleeper, signal.SIGCONT)

    waker = Thread(target=wake)
    waker.start()
    folder.work(["sleep 1", "", ""], workers=2, lease_seconds=2.0, beat_seconds=0.6, lock_seconds=0.0)
    waker.join()
    slept, *others = folder.store.trials()
    assert slept.state is State.COMPLETE and slept.step == STEPS and all(map(is_complete, others))
    assert all(step > 0 for step, _ in folder.calls(0)[1:])  # continued, never begun again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_running_trials(number: int, folder: Folder) -> None:
    with folder.start(["hang", "hang", ""]) as parent:
        wait_until(lambda: [trial.step for trial in folder.store.trials()] == [1, 1])
        parent.send_signal(number)
    assert parent.returncode == 128 + number
    assert [(trial.state, trial.step) for trial in folder.store.trials()] == [(State.WAITING, 2)] * 2
    folder.work(["hang", "hang", ""])
    assert all(map(is_complete, folder.store.trials()))


def test_workers_end_with_their_parent_and_another_continues(storage: str, tmp_path: Path) -> None:
    folder = Folder.create(storage, tmp_path)
    with folder.start(["hang 1", "hang 1", ""]) as parent:
        wait_until(lambda: [trial.step for trial in folder.store.trials()] == [1, 1])
        parent.kill()
    folder.work(["hang 1", "hang 1", ""], workers=2)
    trials = folder.store.trials()
    assert [(trial.state, trial.step) for trial in trials] == [(State.COMPLETE, STEPS)] * 3
    assert [step for step, _ in folder.calls(0)] == [0, 1, STEPS // 2]
