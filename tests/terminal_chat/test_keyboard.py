"""Ctrl-C while an answer is written."""

import os
import signal

import pytest

from lmcraft.terminal_chat.keyboard import Interruption


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_a_wait() -> None:
    with Interruption() as interruption, pytest.raises(KeyboardInterrupt), interruption.wait():
        press_ctrl_c()


def test_ctrl_c_outside_of_a_wait_ends_the_next_one() -> None:
    steps = []
    with Interruption() as interruption:
        press_ctrl_c()
        press_ctrl_c()
        steps.append("handled")
        with pytest.raises(KeyboardInterrupt), interruption.wait():
            steps.append("never waits")
    assert steps == ["handled"]


def test_ctrl_c_means_what_it_did_before_once_the_answer_is_over() -> None:
    earlier = signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) != earlier
    assert signal.getsignal(signal.SIGINT) == earlier
