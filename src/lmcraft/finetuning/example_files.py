"""Reads files of examples, and keeps account of the rows that cannot be used."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import KINDS, Example, substitute
from lmcraft.finetuning.rows import RowFormat, parse_fields

MAX_ORIGINS_SHOWN = 3
MAX_REASONS_SHOWN = 3


@dataclass
class RowStats(ReadStats):
    """The rows that were read, and those that cannot be used, by reason."""

    rows: int = 0
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """For each reason, file and line of the rows."""
    unread_columns: Counter[str] = field(default_factory=Counter)
    """The number of rows in which a column holds something, but is not used."""

    def malformed(self, file: str, line: int, reason: str) -> None:
        """Note a row that cannot be read."""
        self.rows += 1
        self.reject(f"{file}:{line}", reason)

    def reject(self, origin: str, reason: str) -> None:
        """Note a row that cannot be used."""
        self.reasons.setdefault(reason, []).append(origin)

    def add(self, other: "RowStats") -> None:
        """Add the rows of other files."""
        self.rows += other.rows
        self.unread_columns += other.unread_columns
        self.encodings |= other.encodings
        for reason, origins in other.reasons.items():
            self.reasons.setdefault(reason, []).extend(origins)

    @property
    def rejected(self) -> int:
        return sum(map(len, self.reasons.values()))

    def check(self, action: Literal["skip", "fail"]) -> None:
        """Raise UserError if rows cannot be used and `action` is "fail", or if no row is left."""
        if not self.rejected or (action == "skip" and self.rejected < self.rows):
            return
        remedy = "" if self.rejected == self.rows else "; to leave such rows out, add --malformed skip"
        if self.rejected == 1:
            [(reason, [origin])] = self.reasons.items()
            raise UserError(f"{origin} cannot be used: {reason}{remedy}")
        number = f"all {self.rows}" if self.rejected == self.rows else f"{self.rejected} of {self.rows}"
        raise UserError(f"{number} rows cannot be used: {self.summary()}{remedy}")

    def summary(self) -> str:
        """The most frequent reasons, each with its first rows, and the number of the other rows."""
        ordered = sorted(self.reasons.items(), key=lambda item: -len(item[1]))
        shown = MAX_REASONS_SHOWN if len(ordered) > MAX_REASONS_SHOWN + 1 else len(ordered)
        parts = [f"{list_origins(origins)} ({reason})" for reason, origins in ordered[:shown]]
        if others := sum(len(origins) for _, origins in ordered[shown:]):
            parts.append(f"and {others:,} more for other reasons")
        return "; ".join(parts)


def list_origins(origins: Sequence[str]) -> str:
    """The first of some files and lines, and the number of the others."""
    first = sorted(origins, key=_file_and_line)[:MAX_ORIGINS_SHOWN]
    others = len(origins) - len(first)
    return ", ".join(first) + (f" and {others} more" if others > 0 else "")


def list_rows(reasons: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """File, line and reason of each row that was left out, in the order of files and lines.

    Args:
        reasons: for each reason, file and line of the rows.
    """
    rows = [(*_file_and_line(origin), reason) for reason, origins in reasons.items() for origin in origins]
    return [{"file": file, "line": line, "reason": reason} for file, line, reason in sorted(rows)]


def _file_and_line(origin: str) -> tuple[str, int]:
    file, _, line = origin.rpartition(":")
    return file, int(line) if line.isdecimal() else 0


def read_examples(
    paths: Sequence[Path],
    variables: Mapping[str, str] | None = None,
    form: RowFormat | None = None,
    stats: RowStats | None = None,
    encoding: str | None = None,
) -> list[Example]:
    """The examples of all files, in order.

    Args:
        paths: .jsonl, .json, .csv, .tsv or .parquet files, compressed or not.
        variables: replacements for {{name}} in the texts.
        form: how to read the rows.
        stats: gets the rows that cannot be used; without it, such a row is an error.
        encoding: of the files; None: detected for each.

    Raises:
        UserError: a file cannot be read, a row cannot be used and there are no `stats`, or rows are of different kinds.
    """
    form, read = form or RowFormat(), RowStats()
    examples: list[Example] = []
    for path in paths:
        for line, row in read_table(path, read, encoding):
            read.rows += 1
            origin = f"{path}:{line}"
            try:
                fields = form.fields(row)
                examples.append(substitute(parse_fields(fields, form, origin), variables or {}))
                read.unread_columns.update(fields.unread())
            except UserError as error:
                read.reject(origin, str(error))
            except RecursionError:
                read.reject(origin, "it is nested too deeply: flatten it")
    if not read.rows:
        raise UserError(f"data {', '.join(map(str, paths))} has no rows: give files with at least one")
    read.check("fail" if stats is None else "skip")
    if stats is not None:
        stats.add(read)
    first_of_kind = {KINDS[type(example)]: example.origin for example in reversed(examples)}
    if len(first_of_kind) > 1:
        kinds, origins = ", ".join(sorted(first_of_kind)), " and ".join(first_of_kind.values())
        raise UserError(f"data has rows of several kinds ({kinds}), such as {origins}: give files of one kind")
    return examples
