"""README.md of a model folder: people's text, the metadata above it, and the part between them that lmcraft writes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from lmcraft.errors import UserError

CARD = "README.md"
MAX_CARD_BYTES = 64 * 2**20
END = "<!-- lmcraft:end -->"
_BEGIN = re.compile(r"^<!-- lmcraft:begin (\{[^\n]*\}) -->[ \t]*(?=\r?$)", re.MULTILINE)
_END = re.compile(rf"^{re.escape(END)}[ \t]*(?=\r?$)", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_UNCLOSED = re.compile(r"\s*---[ \t]*\r?\n[\w-]+:")
HASH_CHARACTERS = 12
MAX_METADATA_CHARACTERS = 256 * 2**10
MAX_DEPTH = 32
MAX_ALIASES = 8  # each may double what is written out
Owned = Mapping[str, Any]
"""What lmcraft wrote into the metadata, as hashes; see `merging`."""


@dataclass(frozen=True)
class Readme:
    """A model card, in its parts."""

    metadata: str
    """YAML, without the lines around it."""
    before: str
    """People's text before lmcraft's part."""
    written: str
    """lmcraft's part, without its markers; empty if there is none."""
    after: str
    """People's text after it."""
    owned: Owned
    newline: str

    @classmethod
    def parse(cls, text: str) -> "Readme":
        """The parts of a card.

        Raises:
            UserError: the metadata cannot be read, or the markers of lmcraft's part do not match.
        """
        newline = "\r\n" if "\r\n" in text else "\n"
        block = REGEX_YAML_BLOCK.match(text)
        if block is None and _UNCLOSED.match(text):
            raise UserError("its metadata has no closing line '---'")
        body = text if block is None else text[block.end() :]
        before, written, after, owned = _split(body)
        metadata = "" if block is None else block.group(2)
        parse_metadata(metadata)
        return cls(metadata, before, written, after, owned, newline)

    def format(self) -> str:
        """The whole card."""
        lines = ["---", self.metadata.strip("\r\n"), "---", ""]
        head = self.newline.join(lines)
        record = json.dumps(self.owned, sort_keys=True, separators=(",", ":"))
        begin, end = f"<!-- lmcraft:begin {record} -->", END
        written = self.newline.join(self.written.splitlines())
        part = self.newline.join([begin, written, end])
        return head + self.before + part + self.after

    def with_metadata(self, metadata: str) -> "Readme":
        """The card with other metadata."""
        return replace(self, metadata=metadata)

    def with_part(self, written: str, owned: Owned, title: str) -> "Readme":
        """The card with another part of lmcraft; a new card gets a title."""
        if self.owned or self.written:
            return replace(self, written=written, owned=owned)
        if self.before.strip():
            return replace(
                self, written=written, owned=owned, before=f"{self.before.rstrip()}{2 * self.newline}", after=self.newline
            )
        return replace(
            self, written=written, owned=owned, before=f"{self.newline}# {title}{2 * self.newline}", after=self.newline
        )


def _split(body: str) -> tuple[str, str, str, Owned]:
    """People's text before and after lmcraft's part, that part between them, and its record.

    Of several parts, as a merge of two versions leaves them, the first stays.
    """
    parts: list[str] = []
    owned: Owned = {}
    begin, written, position = _find_begin(body, 0), "", 0
    while begin is not None:
        end = _END.search(body, begin.end())
        following = _find_begin(body, begin.end())
        if end is None or (following is not None and following.start() < end.start()):
            raise UserError(f"the part that lmcraft wrote has no closing line '{END}'")
        if not parts:
            written, owned = body[begin.end() : end.start()].strip("\r\n"), _parse_record(begin.group(1))
        parts.append(body[position : begin.start()])
        position, begin = end.end(), following
    if not parts:
        if _END.search(body) and not _BEGIN.search(body):
            raise UserError(f"the part that lmcraft wrote has no opening line before '{END}'")
        return body, "", "", {}
    return parts[0], written, "".join(parts[1:]) + body[position:], owned


def _find_begin(body: str, position: int) -> re.Match[str] | None:
    """The next opening line that no block of code quotes."""
    for begin in _BEGIN.finditer(body, position):
        if not _is_quoted(body, begin):
            return begin
    return None


def _is_quoted(body: str, begin: re.Match[str]) -> bool:
    """Whether an opening line and its closing line lie in a block of code; lmcraft's part has blocks of its own."""
    is_open = len(_FENCE.findall(body, 0, begin.start())) % 2 == 1
    end = _END.search(body, begin.end())
    if not is_open or end is None:
        return False
    return not _FENCE.search(body, begin.end(), end.start()) and _FENCE.search(body, end.end()) is not None


def _parse_record(text: str) -> Owned:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"": ""}
    return value if isinstance(value, dict) and value else {"": ""}


def parse_metadata(text: str) -> dict[str, Any]:
    """The metadata of a card.

    Raises:
        UserError: they are not a YAML mapping, or not one of a reasonable size.
    """
    if len(text) > MAX_METADATA_CHARACTERS:
        raise UserError(f"its metadata has more than {MAX_METADATA_CHARACTERS >> 10} KiB")
    try:
        excess = _find_excess(text)
        value = None if excess else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" (line {error.problem_mark.line + 2}: {error.problem})"
        raise UserError(f"its metadata is not valid YAML{line}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError("its metadata is not valid YAML") from error
    if excess:
        raise UserError(f"its metadata has {excess}")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError("its metadata is not a list of names with values")
    return value


def _find_excess(text: str) -> str:
    """What makes YAML take too long to read or to write, as the end of a sentence; empty if nothing does."""
    aliases = depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if aliases > MAX_ALIASES:
            return f"more than {MAX_ALIASES} aliases"
        if depth > MAX_DEPTH:
            return f"more than {MAX_DEPTH} levels"
    return ""


def hash_value(value: Any) -> str:
    """A short hash of a value of the metadata."""
    text = json.dumps(value, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:HASH_CHARACTERS]


def read_stated(path: Path) -> dict[str, Any]:
    """The metadata of a card that people wrote, and not lmcraft; none if the card cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CARD_BYTES:
            return {}
        readme = Readme.parse(path.read_bytes().decode("utf-8-sig"))
        metadata = parse_metadata(readme.metadata)
    except (OSError, UserError, UnicodeDecodeError):
        return {}
    return {key: value for key, value in metadata.items() if hash_value(value) != readme.owned.get(key)}
