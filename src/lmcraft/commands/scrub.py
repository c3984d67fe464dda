"""`lmcraft scrub`: removes or replaces personal data in a text, and restores it with the key."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.errors import UserError

if TYPE_CHECKING:
    from typing import BinaryIO

    from lmcraft.privacy.scrubbing import Scrubber

CHUNK_CHARS, MAX_LINE_CHARS = 1_000_000, 16_000_000
STANDARD_INPUT = "-"
Change = Callable[[str], str | None]
"""A text as it is written; None if it is left out."""


@command_config
@dataclass(frozen=True)
class ScrubConfig(Config):
    """Redact, pseudonymize or drop personal data in a text, or restore what was pseudonymized."""

    source: Annotated[str, Parameter(allow_leading_hyphen=True)] = STANDARD_INPUT
    """A file in UTF-8, text or .jsonl; omitted or "-": standard input."""

    _: KW_ONLY

    action: Literal["redact", "pseudonymize", "drop"] = "redact"
    """Replace passages by their kind, as in [EMAIL], or by pseudonyms; or leave out lines or rows with personal data."""
    kinds: tuple[str, ...] = ()
    """Kinds of personal data, such as email,phone. [default: all]"""
    key_file: Path | None = None
    """For pseudonymize and restore: the file with the key. It is made if there is none; whoever has it can restore."""
    restore: bool = False
    """Put back what the pseudonyms of this key stand for."""
    format: Literal["auto", "text", "jsonl"] = "auto"
    """jsonl: each line is JSON, and its texts, names of fields and numbers are scrubbed one by one. [default: by the name of
    the file]"""
    out: Path | None = None
    """File to write. [default: standard output]"""
    overwrite: bool = False
    """Replace the file --out if there is one."""

    def check(self) -> None:
        """Raise UserError if settings contradict each other."""
        if self.key_file is None and (self.restore or self.action == "pseudonymize"):
            raise UserError(f"{'--restore' if self.restore else '--action pseudonymize'} needs --key-file FILE")
        if self.key_file is not None and not self.restore and self.action != "pseudonymize":
            raise UserError(
                f"--key-file is for --action pseudonymize and --restore: leave it out with --action {self.action}"
            )


@takes_settings(ScrubConfig)
def scrub(config: ScrubConfig = ScrubConfig()) -> dict[str, int]:
    """Write a text without its personal data; the counts by kind go to standard error.

    Returns:
        The number of passages by kind; empty with `restore`.

    Raises:
        UserError: the source cannot be read, the key is missing or damaged, or --out cannot be written.
    """
    from lmcraft.terminal import line_printer

    config.check()
    counts: Counter[str] = Counter()
    with _open_source(config.source) as source, _open_output(config) as write:
        change = _open_change(config, counts)  # makes a key only if all else is well
        for part in _rows(source, change, config.source) if _is_jsonl(config) else _texts(source, change, config):
            write(part)
    if not config.restore:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common())
        line_printer()(
            f"{counts.total():,} {'passages' if counts.total() != 1 else 'passage'}{': ' if kinds else ''}{kinds}"
        )
    return dict(counts)


def _open_change(config: ScrubConfig, counts: Counter[str]) -> Change:
    """The function that scrubs or restores a text, and counts what it finds."""
    from lmcraft.privacy.scrubbing import KINDS, Scrubber

    if config.restore:
        assert config.key_file is not None
        return Scrubber(action="pseudonymize", key=_read_key(config.key_file, create=False)).restore
    kinds = [kind for item in config.kinds for kind in item.split(",")] or list(KINDS)
    Scrubber(kinds)  # refuses unknown kinds before a key is made
    key = None if config.key_file is None else _read_key(config.key_file, create=True)
    scrubber = Scrubber(kinds, config.action, key)
    return (
        _scrubbing(scrubber, counts) if _is_jsonl(config) or config.action != "drop" else _dropping_lines(scrubber, counts)
    )


def _scrubbing(scrubber: Scrubber, counts: Counter[str]) -> Change:
    def change(text: str) -> str | None:
        scrubbed = scrubber.scrub(text)
        counts.update(finding.kind for finding in scrubbed.findings)
        return None if scrubbed.is_dropped else scrubbed.text

    return change


def _dropping_lines(scrubber: Scrubber, counts: Counter[str]) -> Change:
    """Leaves out the lines that have personal data, or a part of it, as a private key has many."""

    def change(text: str) -> str:
        findings = scrubber.find(text)
        counts.update(finding.kind for finding in findings)
        kept, end = [], 0
        for _, start, stop in findings:
            if stop <= end:
                continue
            kept.append(text[end : max(text.rfind("\n", 0, start) + 1, end)])
            end = text.find("\n", stop) + 1 or len(text)
        return "".join([*kept, text[end:]])

    return change


def _read_key(path: Path, *, create: bool) -> bytes:
    from lmcraft.privacy.scrubbing import create_key_file, read_key_file
    from lmcraft.terminal import line_printer

    if not create or path.exists():
        return read_key_file(path)
    key = create_key_file(path)
    line_printer()(f"Wrote a new key to '{path}'. Keep it apart from the texts: whoever has it can restore them.")
    return key


def _is_jsonl(config: ScrubConfig) -> bool:
    return config.format == "jsonl" or (config.format == "auto" and config.source.endswith((".jsonl", ".ndjson")))


def _texts(source: BinaryIO, change: Change, config: ScrubConfig) -> Iterator[str]:
    """A text in parts, scrubbed."""
    for chunk in _chunks(source, config.source):
        changed = change(chunk)
        if changed is not None:
            yield changed


def _chunks(source: BinaryIO, name: str) -> Iterator[str]:
    """A text in parts of about `CHUNK_CHARS`, cut at blank lines or line ends, so that what belongs together stays so."""
    reader = io.TextIOWrapper(source, encoding="utf-8", newline="")
    remainder = ""
    while block := _decode(reader, name):
        text = remainder + block
        cut = text.rfind("\n\n") + 2 if "\n\n" in text else text.rfind("\n") + 1
        if not cut and len(text) > MAX_LINE_CHARS:
            cut = len(text)
        remainder = text[cut:]
        if cut:
            yield text[:cut]
    if remainder:
        yield remainder


def _decode(reader: io.TextIOWrapper, name: str) -> str:
    remedy = "convert it first, as `iconv -f ENCODING -t UTF-8` does"
    try:
        text = reader.read(CHUNK_CHARS)
    except UnicodeDecodeError as error:
        raise UserError(
            f"'{name}' is not UTF-8, since it has the byte {error.object[error.start]:#04x}: {remedy}"
        ) from error
    if "\0" in text:
        raise UserError(f"'{name}' has NUL characters, as UTF-16 has when it is read as UTF-8: {remedy}")
    return text


def _rows(source: BinaryIO, change: Change, name: str) -> Iterator[str]:
    """The rows of JSON lines, their texts, names of fields and numbers scrubbed one by one."""
    from lmcraft.json_lines import format_json_line, parse_json_lines
    from lmcraft.privacy.scrubbing.json_values import DROPPED, change_json

    def refuse(line: int, reason: str) -> None:
        raise UserError(f"line {line} of '{name}' is {reason}: fix it, or scrub the file as a text with --format text")

    for _, row in parse_json_lines(source, refuse):
        changed = change_json(row, change)
        if changed is not DROPPED:
            yield format_json_line(changed)


@contextmanager
def _open_source(source: str) -> Iterator[BinaryIO]:
    from lmcraft.folder import missing_path_error

    if source == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    path = Path(source).expanduser()
    if path.is_dir():
        raise UserError(
            f"'{source}' is a folder: name a file in it, or scrub a whole folder with the stage scrub of prepare"
        )
    if not path.exists():
        raise missing_path_error(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"'{source}' cannot be read ({error.strerror})") from error
    with file:
        yield file


@contextmanager
def _open_output(config: ScrubConfig) -> Iterator[Callable[[str], Any]]:
    """The function that writes a part. A file appears when it is complete."""
    from lmcraft.folder import atomic_write

    out = config.out
    if out is None:
        yield sys.stdout.write
        return
    if out.is_dir():
        raise UserError(f"out='{out}' is a folder: name a file in it, such as {out / 'scrubbed.txt'}")
    if out.exists() and not config.overwrite:
        raise UserError(f"'{out}' exists: choose another name, or replace it with --overwrite")
    if not out.parent.is_dir():
        raise UserError(f"the folder '{out.parent}' does not exist: create it first")
    with atomic_write(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file.write
