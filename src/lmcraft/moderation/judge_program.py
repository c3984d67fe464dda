"""The program of a judge: `python -m lmcraft.moderation.judge_program POLICY`.

It reads texts from standard input and writes decisions to standard output, both in JSON lines; what libraries print goes to
standard error. The first line says that it is ready, or why it cannot be. When standard input is closed, its parent has
ended, however it did, and so does the judge.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any

from lmcraft.errors import LmcraftError
from lmcraft.moderation.moderator import Moderator


def main() -> None:
    """Judge the texts from standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # terminals and service managers send them to children, too
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    sys.excepthook = _print_without_message
    texts, decisions = os.dup(0), os.dup(1)  # what the tiers and their libraries do with 0 and 1 stays apart
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with suppress(BrokenPipeError), os.fdopen(decisions, "wb", buffering=0) as output:  # the parent has ended
        try:
            moderator = Moderator.open(sys.argv[1])
        except LmcraftError as error:
            output.write(_line({"error": str(error)}))
            return
        output.write(_line({"fingerprint": moderator.fingerprint()}))
        for text in _read_texts(texts):
            number = text.pop("id")
            output.write(_line({"id": number, "decision": moderator.judge(**text).as_json()}))


def _print_without_message(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback; the message of the exception may quote a text that was to be judged."""
    traceback.print_tb(trace)
    print(kind.__qualname__, file=sys.stderr)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read_texts(parent: int) -> Iterator[dict[str, Any]]:
    """Yield the texts of the parent; the process ends when the parent does, whatever it does then."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        with suppress(OSError), open(parent, "rb") as file:
            for line in file:
                lines.put(line)
        os._exit(0)

    Thread(target=read, name="parent", daemon=True).start()
    while True:
        yield json.loads(lines.get())


if __name__ == "__main__":
    main()
