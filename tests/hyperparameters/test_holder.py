"""The name of a process tells another process of the machine whether it has ended."""

import subprocess
import sys

from lmcraft.hyperparameters.holder import has_ended, parent_has_ended, process_name

PRINT_NAME = "from lmcraft.hyperparameters.holder import process_name; print(process_name(), flush=True); input()"


def test_a_process_lives_until_it_ends() -> None:
    assert not has_ended(process_name())
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert name != process_name() and not has_ended(name)
        child.kill()
    assert has_ended(name) and not parent_has_ended(name)


def test_a_parent_that_has_ended() -> None:
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PRINT_NAME!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not has_ended(name) and not parent_has_ended(name)
        child.kill()
        child.wait()
        assert not has_ended(name) and parent_has_ended(name)


def test_an_id_that_another_process_has_now() -> None:
    machine, process, start, *parent = process_name().split(":")
    assert has_ended(":".join([machine, process, str(int(start) - 1), *parent]))


def test_nothing_is_known_of_other_machines_and_of_people() -> None:
    _, process, start, *parent = process_name().split(":")
    name = ":".join(["other", process, str(int(start) - 1), *parent])
    assert not has_ended(name) and not parent_has_ended(name)
    assert not has_ended("asked") and not has_ended("")
