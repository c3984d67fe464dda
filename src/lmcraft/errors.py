"""The errors that a person sees: one clear sentence each, and an exit status."""


class LmcraftError(Exception):
    """An error whose message is meant for the person at the keyboard; the command line prints it without a traceback."""

    exit_status = 1


class UserError(LmcraftError, ValueError):
    """Bad input: the message names the setting, the value and the remedy."""

    exit_status = 2


class RunError(LmcraftError):
    """Sound input, but the run could not go on (a full disk, a loss that is not a number); says what is left intact."""


class InterruptedRunError(LmcraftError):
    """The run was asked to stop by a signal, and saved what it had."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number
