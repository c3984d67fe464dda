"""TOML settings above a Markdown text, between two lines of +++; every error names file and line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lmcraft.errors import UserError
from lmcraft.setting_values import convert_value

FENCE = "+++"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file, or what follows a line of it."""

    file: str
    text: str
    first_line: int = 1

    def error(self, line: int, reason: str) -> UserError:
        """The error about a line of the file."""
        return UserError(f"{self.file}:{line}: {reason}")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the settings, and the lines that it is in."""

    source: Source
    values: Mapping[str, Any]
    start: int
    end: int

    def line(self, key: str = "") -> int:
        """The line of a setting; of the table, if the setting is missing."""
        lines = self.source.text.split("\n")
        for before in (r"^\s*\[*\s*", r"[{,]\s*"):
            pattern = re.compile(rf"""{before}["']?{re.escape(key)}["']?\s*[\]=.]""")
            for number in range(self.start, self.end + 1) if key in self.values else ():
                if pattern.search(lines[number - 1]):
                    return number
        return self.start

    def error(self, key: str, reason: str) -> UserError:
        """The error about a setting."""
        return self.source.error(self.line(key), reason)

    def check_keys(self, keys: Sequence[str]) -> None:
        """Refuse settings that are none of these."""
        for key in self.values:
            if key not in keys:
                raise self.error(key, f"there is no setting {key!r}: use {', '.join(keys)}")

    def value(self, key: str, hint: Any, default: Any = None) -> Any:
        """The value of a setting, which has to be of a type; it must not be missing if `default` is None."""
        if key not in self.values:
            if default is None:
                raise self.error(key, f"{key} is missing: add it")
            return default
        try:
            return convert_value(hint, self.values[key], key)
        except UserError as error:
            raise self.error(key, f"{error}: correct it") from error

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """The value of a setting that has to be one of some."""
        value: str = self.value(key, str, default)
        if value not in options:
            raise self.error(key, f"{key} {value!r} is unknown: use {' or '.join(options)}")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value: int = self.value(key, int, default)
        if not low <= value <= high:
            raise self.error(key, f"{key}={value} is out of range: use a whole number from {low:,} to {high:,}")
        return value

    def share(self, key: str) -> float | None:
        """A number from 0 to 1; None if the setting is missing."""
        if key not in self.values:
            return None
        value: float = self.value(key, float)
        if not 0 <= value <= 1:
            raise self.error(key, f"{key}={value:g} is out of range: use a share from 0 to 1")
        return value

    def name(self, key: str = "name") -> str:
        """A name of lower-case letters, digits and _."""
        value: str = self.value(key, str)
        if not _NAME.fullmatch(value):
            spelling = "at most 64 lower-case letters, digits and _, beginning with a letter"
            raise self.error(key, f"{key} {value!r} is not a name: use {spelling}")
        return value

    def texts(self, key: str, languages: Sequence[str]) -> dict[str, str]:
        """A text by language; a string is in the first language."""
        value: str | dict[str, str] = self.value(key, str | dict[str, str])
        texts = {languages[0]: value} if isinstance(value, str) else dict(value)
        if not texts or not all(text.strip() for text in texts.values()):
            raise self.error(key, f"{key} is empty: write a text")
        if unknown := sorted(set(texts) - set(languages)):
            raise self.error(key, f"{key} has the unknown language {unknown[0]!r}: use {' or '.join(languages)}")
        return texts

    def tables(self, key: str) -> list["Table"]:
        """The tables of an array, each with its lines; none if the setting is missing."""
        values: list[dict[str, Any]] = self.value(key, list[dict[str, Any]], [])
        lines, first = self.source.text.split("\n")[: self.end], self.line(key)
        header = re.compile(rf"\s*\[\[\s*{re.escape(key)}\s*\]\]")
        starts = [n for n in range(first, self.end + 1) if header.match(lines[n - 1])]
        starts = starts or [n for n in range(first, self.end + 1) if "name" in lines[n - 1] and "{" in lines[n - 1]]
        starts = starts[: len(values)] if len(starts) >= len(values) else [first] * len(values)
        ends = [*(max(start, following - 1) for start, following in pairwise(starts)), self.end]
        return [Table(self.source, *parts) for parts in zip(values, starts, ends, strict=False)]


def split_front_matter(source: Source) -> tuple[Table, Source]:
    """The settings of a file, and the text below them.

    Raises:
        UserError: the file does not begin with settings, or they are not TOML.
    """
    lines = source.text.split("\n")
    if lines[0].rstrip() != FENCE:
        raise source.error(1, f"the first line is not {FENCE}: put the settings between two lines of {FENCE}")
    end = next((n for n, line in enumerate(lines[1:], start=1) if line.rstrip() == FENCE), None)
    if end is None:
        raise source.error(1, f"the settings do not end: add a line of {FENCE} after them")
    try:
        values = tomllib.loads("\n" + "\n".join(lines[1:end]))  # an empty line, so that line numbers are the file's
    except RecursionError as error:
        raise source.error(1, "the settings are nested too deeply: flatten them") from error
    except tomllib.TOMLDecodeError as error:
        position = re.search(r"line (\d+)", str(error))
        reason = re.sub(r" \(at .*\)$", "", str(error))
        line = int(position[1]) if position else end
        raise source.error(line, f"the settings are not TOML ({reason}): correct them") from error
    start = next((n for n in range(end + 1, len(lines)) if lines[n].strip()), len(lines))
    body = Source(source.file, "\n".join(lines[start:]).rstrip() + "\n", start + 1)
    return Table(source, values, 1, end + 1), body
