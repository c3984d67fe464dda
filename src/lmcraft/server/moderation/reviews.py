"""Where texts wait for a person to look at them."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line


class ReviewQueue(Protocol):
    """Keeps the texts that a policy sends to review."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a text with its decision record; callable from any thread.

        Raises:
            OSError: it cannot be kept.
        """


class ReviewFile:
    """A JSON lines file, one line for each text, which only its owner can read.

    Args:
        path: the file, which need not exist.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            message = f"reviews='{path}' cannot be written ({error.strerror}): choose another file, or --reviews none"
            raise UserError(message) from error

    def add(self, record: Mapping[str, Any]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(format_json_line(record))
