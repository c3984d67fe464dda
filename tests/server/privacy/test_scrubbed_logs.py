"""No log line has personal data, or what an exception quotes."""

import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from lmcraft.server.privacy.scrubbed_logs import ScrubbingFormatter, make_scrub, scrubbed_logs

SECRET = "ada@example.org"


def scrub(text: str) -> str:
    return text.replace(SECRET, "[EMAIL]")


def failure() -> BaseException:
    try:
        try:
            raise KeyError(f"first {SECRET}")
        except KeyError as error:
            raise ExceptionGroup(f"group {SECRET}", [ValueError(f"the prompt\nover lines {SECRET}")]) from error
    except ExceptionGroup as error:
        return error


def formatted(*, shows_messages: bool) -> str:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed for %s", (SECRET,), None)
    error = failure()
    record.exc_info = (type(error), error, error.__traceback__)
    text = ScrubbingFormatter(scrub, shows_messages=shows_messages).format(record)
    assert record.exc_text is None
    return text


def test_tracebacks_have_lines_of_code_and_no_messages() -> None:
    text = formatted(shows_messages=False)
    assert text.startswith("ERROR: failed for [EMAIL]\n")
    assert SECRET not in text and "prompt" not in text.replace("raise", "").split("Traceback")[-1].split("(message")[0]
    assert [
        name for name in ("builtins.KeyError", "builtins.ExceptionGroup", "builtins.ValueError") if name not in text
    ] == []
    assert "over lines" not in text.replace('[ValueError(f"the prompt\\nover lines {SECRET}")]', "")


def test_at_the_level_debug_they_have_scrubbed_messages() -> None:
    text = formatted(shows_messages=True)
    assert "over lines [EMAIL]" in text and SECRET not in text


@pytest.mark.parametrize(
    ("sent", "logged"),
    [("ada@example.org", "[EMAIL]"), ("id:13812345678", "id:[PHONE]"), ("6ba7b810-9dad-11d1-80b4-00c04fd430c8",) * 2],
    ids=["address", "phone", "uuid"],
)
def test_the_id_that_a_client_gives_its_request_is_scrubbed(sent: str, logged: str) -> None:
    record = logging.LogRecord(
        "lmcraft.server", logging.DEBUG, "", 0, "%s %s %s: %d", (sent, "GET", "/v1/models", 200), None
    )
    line = ScrubbingFormatter(make_scrub(), shows_messages=True).format(record)
    assert line == f"DEBUG: {logged} GET /v1/models: 200"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The standard error of a process with these logs."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    with scrubbed_logs("warning", scrub):
        yield output


def test_afterwards_logging_is_as_it_was() -> None:
    def state() -> tuple[object, ...]:
        loggers = logging.getLogger(), logging.getLogger("lmcraft"), logging.getLogger("py.warnings")
        handlers = tuple(tuple(logger.handlers) for logger in loggers)
        return handlers, loggers[1].level, threading.excepthook, sys.unraisablehook

    before = state()
    with scrubbed_logs("debug", scrub):
        assert state() != before
    assert state() == before


def test_a_line_that_cannot_be_formatted_is_withheld() -> None:
    record = logging.LogRecord("other", logging.ERROR, "", 0, "%d", (SECRET,), None)
    text = ScrubbingFormatter(scrub, shows_messages=True).format(record)
    assert text == "ERROR: a line of 'other' cannot be logged (TypeError)"


def test_loggers_that_have_handlers_of_their_own_are_scrubbed() -> None:
    logger, output = logging.getLogger("uvicorn"), io.StringIO()
    logger.addHandler(handler := logging.StreamHandler(output))
    logger.propagate = False
    try:
        with scrubbed_logs("warning", scrub):
            logging.getLogger("uvicorn.error").error("from %s", SECRET)
        assert (output.getvalue(), logger.handlers[-1], logger.propagate) == ("", handler, False)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def test_all_loggers_and_ends_of_threads_are_scrubbed(installed: io.StringIO) -> None:
    for name in ("uvicorn.error", "asyncio", "other"):
        logging.getLogger(name).error("from %s", SECRET)

    def fail() -> None:
        raise RuntimeError(SECRET)

    def leave() -> None:
        raise SystemExit

    for target in (fail, leave):
        thread = threading.Thread(target=target, name="worker")
        thread.start()
        thread.join()
    text = installed.getvalue()
    assert SECRET not in text
    assert text.count("from [EMAIL]") == 3
    assert text.count("the thread 'worker' has ended") == 1
    assert "builtins.RuntimeError (message withheld" in text
