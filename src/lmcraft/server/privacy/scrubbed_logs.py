"""Logs without personal data: every line is scrubbed, and tracebacks leave out what exceptions say: it may quote prompts."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from lmcraft.privacy.scrubbing import Scrubber

FORMAT = "%(levelname)s: %(message)s"
WITHHELD = "(message withheld, since it may quote a request: --log-level debug shows it, scrubbed)"
MAX_CHAIN = 20  # exceptions that caused each other


def make_scrub() -> Callable[[str], str]:
    """A function that takes personal data of all kinds out of a text."""
    scrubber = Scrubber()
    return lambda text: scrubber.scrub(text).text


class ScrubbingFormatter(logging.Formatter):
    """Formats records, and scrubs the result.

    Args:
        scrub: takes personal data out of a text.
        shows_messages: whether tracebacks have the messages of exceptions.
    """

    def __init__(self, scrub: Callable[[str], str], *, shows_messages: bool) -> None:
        super().__init__(FORMAT)
        self._scrub, self._shows_messages = scrub, shows_messages

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # of another formatter
        try:
            return self._scrub(super().format(record))
        except Exception as error:  # logging would print the arguments of the record
            return f"{record.levelname}: a line of '{record.name}' cannot be logged ({type(error).__name__})"
        finally:
            record.exc_text = None

    def formatException(  # noqa: N802 - the name is logging's
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        if self._shows_messages or ei[1] is None:
            return super().formatException(ei)
        return "\n".join(_lines_without_messages(ei[1]))


@contextmanager
def scrubbed_logs(level: str, scrub: Callable[[str], str]) -> Iterator[None]:
    """Send all logs of this process to standard error, scrubbed; also exceptions that end a thread.

    Args:
        level: of lmcraft's logs: warning, info or debug; with debug, tracebacks have the messages of exceptions.
        scrub: takes personal data out of a text.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ScrubbingFormatter(scrub, shows_messages=level == "debug"))
    root, lmcraft = logging.getLogger(), logging.getLogger("lmcraft")
    earlier = root.handlers[:], lmcraft.level, threading.excepthook, sys.unraisablehook
    root.handlers[:] = [handler]
    others = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    others_earlier = [(logger, logger.handlers[:], logger.propagate) for logger in others]
    for logger in others:  # a library may have given its loggers handlers of their own
        logger.handlers[:], logger.propagate = [], True
    lmcraft.setLevel(level.upper())
    logging.captureWarnings(True)
    threading.excepthook, sys.unraisablehook = _log_end_of_thread, _log_unraisable
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:], _, threading.excepthook, sys.unraisablehook = earlier
        lmcraft.setLevel(earlier[1])
        for logger, handlers, propagates in others_earlier:
            logger.handlers[:], logger.propagate = handlers, propagates


def _log_end_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit:
        return
    name = "a thread" if arguments.thread is None else f"the thread '{arguments.thread.name}'"
    logging.getLogger("lmcraft.server").error("%s has ended", name, exc_info=arguments.exc_value or True)


def _log_unraisable(arguments: "sys.UnraisableHookArgs") -> None:
    error = arguments.exc_value
    logging.getLogger("lmcraft.server").error("an exception could not be raised", exc_info=error)


def _lines_without_messages(error: BaseException) -> Iterator[str]:
    """A traceback with the types of exceptions and the lines of code, the first cause first."""
    chain = [error]
    while len(chain) < MAX_CHAIN:
        last = chain[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or any(cause is earlier for earlier in chain):
            break
        chain.append(cause)
    for cause in reversed(chain):
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(cause.__traceback__)).rstrip("\n")
        yield f"{type(cause).__module__}.{type(cause).__qualname__} {WITHHELD}"
        if isinstance(cause, BaseExceptionGroup):
            for part in cause.exceptions:
                yield from _lines_without_messages(part)
