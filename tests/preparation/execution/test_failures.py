"""Documents that end workers are skipped and named; errors end the run in one sentence, and what is finished is kept."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.preparation.contracts import Step, Unit
from lmcraft.preparation.execution.journal import Journal, total_tally
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.execution.schedule import MAX_POISONED
from lmcraft.preparation.execution.steps import run_steps
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import add_step, outputs, read_step


@pytest.mark.parametrize(
    ("kind", "reason", "text"),
    [
        ("kill", "killed", "its worker was ended by signal 9 (SIGKILL)"),
        ("abort", "died", "its worker was ended by signal 6 (SIGABRT)"),
        ("exit", "died", "its worker ended with status 7"),
        ("hang", "hung", "it took longer than 0.5 s"),
        ("raise", "failed", "ValueError: a bad document"),
        ("memory", "memory", "too little memory"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_document_that_ends_its_worker_is_skipped_and_named(
    tmp_path: Path, kind: str, reason: str, text: str, workers: int
) -> None:
    steps = [read_step(3, trouble={"13": kind}, trace=str(tmp_path)), add_step(group=3, trace=str(tmp_path))]
    results = run_steps(steps, tmp_path / "work", Processes(workers, 0.5))
    assert results["add"][0].values == {"total": sum(number**2 for number in range(30) if number != 13)}
    assert [result.poisoned for result in results["read"]] == [
        [],
        [{"document": [0, 10, 3, 0], "reason": reason, "text": text}],
        [],
    ]
    tally = total_tally(results["read"], tmp_path / "work")
    assert tally.counts == {"read/documents": 29, f"poisoned/{text}": 1}
    # A worker that ends does not make others repeat what they have finished.
    assert sorted((tmp_path / "runs.txt").read_text().split("\n")) == ["", "add 0", "read 0", "read 10", "read 20"]
    assert not list((tmp_path / "work" / "units").glob("*.tmp-*"))


def test_several_documents_of_a_unit_are_skipped(tmp_path: Path) -> None:
    trouble = {str(number): kind for number, kind in zip(range(2, 10, 2), ["kill", "abort", "raise", "exit"], strict=True)}
    results = run_steps([read_step(1, trouble=trouble)], tmp_path, Processes(2, 60))
    assert [row["document"][2] for row in results["read"][0].poisoned] == [2, 4, 6, 8]
    again = run_steps([read_step(1, trouble=trouble)], tmp_path, Processes(2, 60))
    assert again == results


def test_a_unit_whose_documents_may_take_long_is_not_ended(tmp_path: Path) -> None:
    first = run_steps([read_step(1, trouble={"3": "slow"}, is_timed=False)], tmp_path, Processes(1, 0.3))
    assert first["read"][0].poisoned == []
    second = run_steps([read_step(1, trouble={"3": "slow"})], tmp_path, Processes(1, 0.3))
    assert [row["reason"] for row in second["read"][0].poisoned] == ["hung"]


def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    steps = [read_step(3, trouble={"13": "kill-once"}, trace=str(tmp_path))]
    results = run_steps(steps, tmp_path / "work", Processes(2, 60))
    assert all(result.poisoned == [] for result in results["read"])
    assert total_tally(results["read"], tmp_path / "work").counts == {"read/documents": 30}


def end_at_once(*arguments: object) -> None:
    os._exit(3)


def refuse(*arguments: object) -> None:
    raise UserError("jaccard=2 is too large: use at most 1")


def fill_the_disk(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def read_nothing(*arguments: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (
            end_at_once,
            RunError,
            "unit 0 of step 'bad' cannot be done: its worker ended with status 3; '{work}/log.txt' has more; what is",
        ),
        (refuse, UserError, "jaccard=2 is too large: use at most 1"),
        (
            read_nothing,
            RunError,
            "unit 0 of step 'bad' cannot be done: RuntimeError: a bug; '{work}/log.txt' has more; what is finished is kept",
        ),
        (fill_the_disk, RunError, "the disk of '{work}' is full after 0 of 1 units of step 'bad': free at least 1.0 MiB"),
    ],
)
def test_a_unit_that_cannot_be_done_ends_the_run(
    tmp_path: Path, function: Callable[..., None], kind: type[Exception], message: str
) -> None:
    bad = Step("bad", lambda results: [Unit("bad", 0, f"{__name__}:{function.__name__}", {})], reads=())
    with pytest.raises(kind, match="^" + message.format(work=tmp_path).replace("(", r"\(")):
        run_steps([read_step(2), bad], tmp_path, Processes(2, 60), keep=["read"])
    journal = Journal(tmp_path)
    assert all(journal.has_outputs(unit.key) for unit in read_step(2).units({}))
    assert not list((tmp_path / "units").glob("*.tmp-*"))


def test_too_many_bad_documents_end_the_run(tmp_path: Path) -> None:
    trouble = {str(number): "raise" for number in range(MAX_POISONED + 1)}
    with pytest.raises(
        RunError, match=r"21 documents of it failed, the last since ValueError: a bad document; .*log.txt' has more"
    ):
        run_steps([read_step(1, 30, trouble=trouble)], tmp_path, InProcess())


def test_a_file_that_vanished_ends_the_run_and_blames_no_document(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'/nonexistent/file' does not exist: check the path"):
        run_steps([read_step(1, trouble={"3": "missing"})], tmp_path, InProcess())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_and_the_same_command_continues(tmp_path: Path, number: int) -> None:
    steps = [read_step(8, seconds=0.02, trace=str(tmp_path)), add_step(group=8)]
    runs = tmp_path / "runs.txt"

    def interrupt() -> None:
        while not runs.exists() or runs.read_text().count("\n") < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedRunError) as error:
        run_steps(steps, tmp_path / "work", Processes(2, 60))
    thread.join()
    assert error.value.exit_status == 128 + number
    assert runs.read_text().count("\n") < 9
    results = run_steps(steps, tmp_path / "work", Processes(2, 60))
    assert results["add"][0].values == {"total": sum(number**2 for number in range(80))}
    assert outputs(tmp_path / "work", results)


def test_damaged_outputs_are_made_again(tmp_path: Path) -> None:
    first = run_steps([read_step(3)], tmp_path, InProcess())
    texts, journal = outputs(tmp_path, first), Journal(tmp_path)
    keys = [result.unit.key for result in first["read"]]
    (journal.folder(keys[0]) / "squares.txt").unlink()
    (journal.folder(keys[1]) / "squares.txt").write_text("cut")
    (tmp_path / "units" / f"{keys[2]}.json").write_text('{"unit": ')
    (tmp_path / "units" / f"{keys[2]}.tmp-{os.uname().nodename}-99999999").mkdir()
    assert outputs(tmp_path, run_steps([read_step(3)], tmp_path, InProcess())) == texts
    record = tmp_path / "units" / f"{keys[2]}.json"
    record.write_text(record.read_text().replace('"seconds"', '"time"'))  # as another version might
    assert outputs(tmp_path, run_steps([read_step(3)], tmp_path, InProcess())) == texts
    assert not list((tmp_path / "units").glob("*.tmp-*"))
