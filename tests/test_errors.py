"""Errors and their exit statuses."""

from lmcraft.errors import InterruptedRunError, LmcraftError, RunError, UserError


def test_exit_statuses_follow_the_shells_conventions() -> None:
    assert (LmcraftError.exit_status, RunError("x").exit_status, UserError("x").exit_status) == (1, 1, 2)
    assert InterruptedRunError("stopped", 15).exit_status == 143
    assert isinstance(UserError("x"), ValueError)
