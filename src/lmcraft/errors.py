"""Errors shown to the user: one clear sentence each, and an exit status."""


class LmcraftError(Exception):
    """An error whose message is written for the user; the command line prints it without a traceback."""

    exit_status = 1


class UserError(LmcraftError, ValueError):
    """Invalid input: the message names the setting, its value and the remedy."""

    exit_status = 2


class RunError(LmcraftError):
    """The input was valid, but the run failed (full disk, NaN loss); the message says what was kept."""


class InterruptedRunError(LmcraftError):
    """A signal stopped the run, after its state was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number
