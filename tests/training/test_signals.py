"""Signals that stop a run."""

import os
import signal
import threading

import pytest

from lmcraft.errors import InterruptedRunError
from lmcraft.training.signals import StopRequest, interrupt_on_signals, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_recorded_and_the_handlers_restored(number: signal.Signals, request: pytest.FixtureRequest) -> None:
    inherited = signal.signal(number, signal.default_int_handler)  # the tests may run under `nohup`
    request.addfinalizer(lambda: signal.signal(number, inherited))
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and stop.signal_number == number
    assert signal.getsignal(number) is before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_interrupt_stops_immediately() -> None:
    with stop_on_signals() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal_number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_block_at_once_but_where_it_is_recorded(
    number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    inherited = signal.signal(number, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, inherited))
    with pytest.raises(InterruptedRunError, match="stopped by a signal") as caught, interrupt_on_signals():
        with stop_on_signals() as stop:
            os.kill(os.getpid(), number)
            assert stop
        os.kill(os.getpid(), number)
        pytest.fail("it went on")
    assert caught.value.exit_status == 128 + number and signal.getsignal(number) is signal.SIG_DFL


def test_an_interrupt_of_the_user_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), interrupt_on_signals():
        raise KeyboardInterrupt


def test_other_threads_have_no_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    requests: list[StopRequest] = []

    def work() -> None:
        with stop_on_signals() as request:
            assert signal.getsignal(signal.SIGTERM) is before
            requests.append(request)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(requests) == 1 and not requests[0]
