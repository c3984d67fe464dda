import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lmcraft.folder.lock import LOCK_NAME, holder_of
from lmcraft.runs import control
from lmcraft.runs.control import ControlError, resume, stop
from lmcraft.runs.run import Run
from tests.runs.written_run import WrittenRun, holding_lock

SLEEPER = "import time; print('started', flush=True); time.sleep(60)"


@pytest.fixture
def written(tmp_path: Path) -> WrittenRun:
    run = WrittenRun(tmp_path / "a")
    run.checkpoint(10, best_step=-1)
    return run


def open_run(written: WrittenRun) -> Run:
    run = Run("a", written.path, written.path.parent)
    run.refresh()
    run.follow_log()
    return run


def test_stop_asks_the_process_that_holds_the_lock(written: WrittenRun) -> None:
    with holding_lock(written.path) as process:
        assert stop(open_run(written)) == process.pid
        assert process.wait(20) == 0
        assert process.stdout is not None and process.stdout.read() == "stopped\n"


def test_stop_signals_nobody_if_no_process_holds_the_lock(written: WrittenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *arguments: pytest.fail("a process was signaled"))
    (written.path / LOCK_NAME).write_text(str(os.getpid()))  # a number that was given to another process since
    with pytest.raises(ControlError, match="no process runs 'a'"):
        stop(open_run(written))


def test_stop_signals_nobody_but_the_holder_whatever_number_the_file_has(
    written: WrittenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *arguments: pytest.fail("a process was signaled"))
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE)
    try:
        with holding_lock(written.path):
            for number in (stranger.pid, 999_999_999, 0, -1):
                (written.path / LOCK_NAME).write_text(str(number))
                with pytest.raises(ControlError, match="cannot be verified on this machine"):
                    stop(open_run(written))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.communicate()


def test_a_trial_is_left_to_its_search(tmp_path: Path) -> None:
    written = WrittenRun(tmp_path / "search" / "trials" / "0001" / "train")
    run = Run("x", written.path, tmp_path)
    run.refresh()
    for function in (stop, resume):
        with pytest.raises(ControlError, match="part of 'search'"):
            function(run)


def test_resume_needs_a_checkpoint_and_a_free_lock(written: WrittenRun, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no checkpoint"):
        resume(open_run(WrittenRun(tmp_path / "b")))
    with holding_lock(written.path), pytest.raises(ControlError, match="is running already"):
        resume(open_run(written))
    assert holder_of(written.files, "resume.log") is None


def test_resume_runs_the_command_in_a_session_of_its_own_where_its_paths_hold(
    written: WrittenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, object] = {}
    real = subprocess.Popen

    def start(program: list[str], **options: object) -> "subprocess.Popen[bytes]":
        arguments.update(options, program=program)
        return real([sys.executable, "-c", SLEEPER], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(control.subprocess, "Popen", start)
    process = resume(open_run(written))
    try:
        folder = str(written.path)
        settings = str(written.files / "run.toml")
        assert arguments["program"] == [sys.executable, "-m", "lmcraft", "pretrain", settings, "--resume", "--out", folder]
        assert arguments["cwd"] == written.path.parent  # `out = "a"` in run.toml
        assert os.getsid(process) == process
        run = open_run(written)
        assert run.is_resuming and run.as_json()["state"] == "starting"
        with pytest.raises(ControlError, match="already being resumed"):
            resume(run)
    finally:
        os.kill(process, signal.SIGKILL)
    while holder_of(written.files, "resume.log") is not None:
        time.sleep(0.01)
    described = open_run(written).as_json()
    assert described["state"] == "stopped" and described["can_resume"]


def test_of_many_requests_at_once_one_resumes(written: WrittenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    real = subprocess.Popen

    def start(program: list[str], **options: object) -> "subprocess.Popen[bytes]":
        process = real([sys.executable, "-c", SLEEPER], **options)  # type: ignore[call-overload]
        started.append(process.pid)
        return process  # type: ignore[no-any-return]

    monkeypatch.setattr(control.subprocess, "Popen", start)
    runs = [open_run(written) for _ in range(8)]
    refusals: list[str] = []

    def request(run: Run) -> None:
        try:
            resume(run)
        except ControlError as error:
            refusals.append(error.code)

    threads = [threading.Thread(target=request, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in started:
        os.kill(process, signal.SIGKILL)
    assert len(started) == 1 and refusals == ["resume_started"] * 7


def test_why_a_resume_failed_becomes_the_message(written: WrittenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.sys, "executable", "/bin/false")
    (written.files / "history.jsonl").write_text("{}\n")
    os.utime(written.files / "history.jsonl", (0, 0))
    resume(open_run(written))
    while holder_of(written.files, "resume.log") is not None:
        time.sleep(0.01)
    with (written.files / "resume.log").open("a") as log:
        log.write("lmcraft: 'data' does not exist\n\n")
    assert open_run(written).as_json()["message"] == "lmcraft: 'data' does not exist"


def test_a_log_that_is_a_link_is_not_written(written: WrittenRun, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (written.files / "resume.log").symlink_to(tmp_path / "other")
    with pytest.raises(ControlError, match="cannot be written"):
        resume(open_run(written))


def test_the_lock_is_waited_for_while_somebody_only_looks(written: WrittenRun) -> None:
    log = written.files / "resume.log"
    log.write_text("")
    descriptor = os.open(log, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    threading.Timer(0.005, os.close, [descriptor]).start()
    other = os.open(log, os.O_RDWR)
    assert control._lock(other)
    os.close(other)
