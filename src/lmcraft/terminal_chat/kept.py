"""Conversations kept in the user's data folder, one file of JSON lines each, which grows with every piece of an answer.

A row with an `id` is a message, or a change of it: `role` and `parent` the first time, then more `text` and `thoughts`, and
at last `finish_reason` and `usage`. Other rows are the state, of which the last row of each kind counts: `model`, `adapter`,
`settings`, `system`, and `last`, the answer that the next question follows.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json, format_json_line, read_json_lines
from lmcraft.setting_values import convert_value, expand_user
from lmcraft.terminal import print_notice
from lmcraft.terminal_chat.tree import Backend, Conversation, Message

ID_BYTES = 3
MAX_LISTED = 20
MAX_TITLE_CHARACTERS = 48


def data_folder() -> Path:
    """`$LMCRAFT_DATA`, else `lmcraft` in `$XDG_DATA_HOME`, else `~/.local/share/lmcraft`."""
    if folder := os.environ.get("LMCRAFT_DATA"):
        return expand_user(folder)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lmcraft"


@dataclass(frozen=True)
class KeptChat:
    """A conversation in a file."""

    path: Path
    seconds_ago: float
    title: str
    """The beginning of its first question."""
    model: str

    @property
    def id(self) -> str:
        return self.path.stem


class ChatFile:
    """The file of a conversation, which nobody else can open at the same time. It is made with the first message.

    Args:
        path: of a conversation that is continued; None: a new one.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self._file = path, None
        self._state: dict[str, Any] = {}
        self._failed = False
        if path is not None:
            self._file = _open(path)

    _file: IO[bytes] | None

    @property
    def is_written(self) -> bool:
        """Whether the conversation is in the file."""
        return self._file is not None and not self._failed

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; a file that cannot be written is reported once, and the conversation goes on without it."""
        if self._file is None and "id" not in row:
            self._state |= row
            return
        if self._failed:
            return
        try:
            if self._file is None:
                self.path = _new_path()
                self._file = _open(self.path)
                self._write(self._state)
            self._write(row)
        except OSError as error:
            self._failed = True
            print_notice(f"The conversation cannot be kept ({error.strerror}: '{self.path or _folder()}').")

    def _write(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(format_json_line(row).encode())

    def close(self) -> None:
        """Let others open the conversation."""
        if self._file is not None:
            self._file.close()


def kept_chats() -> list[KeptChat]:
    """The conversations in the data folder, the latest first."""
    files = [(file.stat().st_mtime, file) for file in _folder().glob("*.jsonl")]
    now = time.time()
    latest = sorted(files, reverse=True)[:MAX_LISTED]
    return [KeptChat(file, now - changed, *_title_and_model(file)) for changed, file in latest]


def find_chat(name: str) -> Path:
    """The file of the conversation with this id, or this number in the list of `kept_chats`; empty: the latest one.

    Raises:
        UserError: there is none.
    """
    chats = kept_chats()
    if not chats:
        raise UserError(f"there are no conversations in '{_folder()}' yet: leave --continue and --resume out")
    if name.isdecimal() and 1 <= int(name) <= len(chats):
        return chats[int(name) - 1].path
    path = _folder() / f"{name}.jsonl" if name else chats[0].path
    if Path(name).name != name or not path.is_file():
        raise UserError(f"there is no conversation '{name}': /load lists them")
    return path


@dataclass
class LoadedChat:
    """What a file of a conversation holds."""

    state: dict[str, Any] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Apply a row of the file.

        Raises:
            LookupError, TypeError, ValueError: it is not one.
        """
        if "id" not in row:
            types = {"model": str, "adapter": str | None, "settings": dict, "system": str, "last": int | None}
            self.state |= {name: convert_value(hint, row[name], name) for name, hint in types.items() if name in row}
            return
        number = row["id"]
        if number not in self.messages:
            parent = None if row["parent"] is None else self.messages[row["parent"]]
            expected: Literal["user", "assistant"] = "user" if parent is None or parent.role == "assistant" else "assistant"
            if row["role"] != expected:
                raise ValueError("questions and answers do not alternate")
            self.messages[number] = Message(expected, "", parent)
            if expected == "assistant":
                self.state["last"] = number
        message = self.messages[number]
        message.content += row.get("text", "")
        message.thoughts += row.get("thoughts", "")
        for name in ("dropped_turns", "finish_reason", "usage"):
            setattr(message, name, row.get(name, getattr(message, name)))

    def resume(self, backend: Backend, file: ChatFile) -> Conversation:
        """The conversation, which goes on in its file."""
        number = self.state.get("last")
        last = None if number is None else self.messages.get(number)
        return Conversation.restored(backend, self.state.get("system", ""), self.messages, last, file.add)


def read_chat(path: Path) -> LoadedChat:
    """Read a conversation.

    Raises:
        UserError: the file is damaged.
    """
    chat = LoadedChat()
    for row in read_json_lines(path):
        try:
            chat.add(row)
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"'{path}' is damaged at {format_json(row)}: restore it, or delete it") from error
    return chat


def _folder() -> Path:
    return data_folder() / "chats"


def _new_path() -> Path:
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    return _folder() / f"{secrets.token_hex(ID_BYTES)}.jsonl"


def _open(path: Path) -> IO[bytes]:
    file = path.open("ab", buffering=0)
    path.chmod(0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UserError(f"the conversation {path.stem} is open in another terminal: close it there") from error
    except OSError:  # some network file systems have no locks
        pass
    contents = path.read_bytes()
    file.truncate(contents.rfind(b"\n") + 1)  # without a row that a crash cut short
    return file


def _title_and_model(file: Path) -> tuple[str, str]:
    """From the first rows of a file."""
    title = model = ""
    for row in _rows(file):
        model = model or str(row.get("model") or "")
        if row.get("role") == "user":
            title = " ".join(str(row.get("text")).split())
            break
    return (title if len(title) <= MAX_TITLE_CHARACTERS else title[:MAX_TITLE_CHARACTERS] + "..."), model


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row
