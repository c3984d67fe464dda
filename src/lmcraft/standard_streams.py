"""Standard input, output and error of the command line, and bytes there and in arguments that are not text."""

import codecs
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

from lmcraft.errors import RunError, UserError

_UNDECODED_BYTE = re.compile("[\udc80-\udcff]")


def prepare_standard_streams() -> None:
    """Open the streams that the caller closed, and read standard input strictly, without a byte-order mark.

    A closed input is empty, and what is written to a closed output is lost, as in Python's `print`. A file that is opened
    later can never take its number.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it has the lowest free number
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="surrogateescape")  # names of files may hold any bytes
    sys.stdout, sys.stderr = _keep_going(sys.stdout), _keep_going(sys.stderr)
    if isinstance(sys.stdin, io.TextIOWrapper) and not sys.stdin.isatty():
        encoding = codecs.lookup(sys.stdin.encoding).name
        sys.stdin.reconfigure(encoding="utf-8-sig" if encoding in ("utf-8", "ascii") else encoding, errors="strict")


class _LastingOutput(io.FileIO):
    """A standard output or error whose errors do not end the command, except that nobody reads it any more.

    What cannot be written, since the disk is full or the terminal is gone, is lost.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.error = error
            return len(memoryview(data).cast("B"))


def _keep_going(stream: Any) -> Any:
    """The same stream, which loses what cannot be written; a stream that is neither 1 nor 2 is left as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _raw(stream)
    if not isinstance(raw, io.FileIO) or isinstance(raw, _LastingOutput) or raw.fileno() > 2:
        return stream
    stream.flush()
    lasting = _LastingOutput(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        lasting if raw is stream.buffer else io.BufferedWriter(lasting),  # the first with python -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _raw(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def flush_standard_output() -> None:
    """Write what is left in the buffer of standard output.

    Raises:
        RunError: a part of what the command printed could not be written.
    """
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    if isinstance(raw, _LastingOutput) and raw.error is not None:
        error, raw.error = raw.error, None
        raise RunError(f"standard output cannot be written ({error.strerror}); everything else is complete")


def check_utf8(value: str | Path, subject: str) -> None:
    """Raise UserError if an argument of the command line has bytes that are not UTF-8, which Python hides in surrogates.

    A path with such bytes could be opened, but no file that records it could be written.
    """
    if byte := _UNDECODED_BYTE.search(str(value)):
        remedy = f"rename '{value}'" if isinstance(value, Path) and value.exists() else "give it in UTF-8"
        raise UserError(f"{subject} is not UTF-8, since it has the byte {os.fsencode(byte[0])[0]:#04x}: {remedy}")


def check_decoded(text: str, subject: str) -> None:
    """Raise UserError if a text from standard input has NUL characters, as UTF-16 has when it is read as UTF-8."""
    if "\0" in text:
        raise undecoded_error(subject)


def undecoded_error(subject: str) -> UserError:
    """The error for a text from standard input that cannot be decoded."""
    encoding = (sys.stdin.encoding or "utf-8").removesuffix("-sig").upper()
    return UserError(f"{subject} is not {encoding}: convert it first, as `iconv -f ENCODING -t {encoding}` does")
