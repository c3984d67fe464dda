"""Anchors: the number and hash of an audit log's row, kept where whoever writes to the database cannot write.

An anchor is the text SEQ:HASH. A file of anchors has one per line, perhaps with a time after it; the manifest of an export
carries one, too.
"""

import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import GENESIS, Head, head
from lmcraft.errors import UserError
from lmcraft.json_lines import parse_json

ANCHOR = re.compile(r"(\d{1,18}):([0-9a-f]{64})")


def append_anchor(connection: sa.Connection, file: Path) -> None:
    """Add where the chain ends to a file of anchors, unless its last line says the same.

    Raises:
        OSError: the file cannot be written.
    """
    anchor = str(head(connection))
    with file.open("a+b") as lines:
        lines.seek(max(0, lines.seek(0, os.SEEK_END) - 1000))
        tail = lines.read().decode("utf-8", "replace")
        if tail.rpartition("\n")[0].rpartition("\n")[2].split()[:1] == [anchor] and tail.endswith("\n"):
            return
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        lines.write(("" if not tail or tail.endswith("\n") else "\n").encode() + f"{anchor} {moment}\n".encode())
        lines.flush()
        os.fsync(lines.fileno())


def read_anchors(expect: str) -> list[Head]:
    """The anchors that a setting names.

    Args:
        expect: SEQ:HASH, a file of such lines, or the manifest of an export (or its folder).

    Raises:
        UserError: it is none of these.
    """
    if match := ANCHOR.fullmatch(expect.strip().lower()):
        return [_checked(match, expect)]
    path = Path(expect).expanduser()
    if path.is_dir():
        path = path / "manifest.json"
    remedy = "use SEQ:HASH, as `lmcraft review verify` prints it, a file of such lines, or the manifest of an export"
    if not expect.strip() or not path.is_file():
        raise UserError(f"expect='{expect}' is neither an anchor nor a file: {remedy}")
    data = path.read_bytes()
    if data.lstrip()[:1] == b"{":
        return [_manifest_anchor(data, path)]
    lines = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
    anchors = []
    for number, words in enumerate(lines, start=1):
        if words and not words[0].startswith("#"):
            match = ANCHOR.fullmatch(words[0])
            if match is None:
                raise UserError(f"'{path}':{number} is not an anchor: {remedy}")
            anchors.append(_checked(match, f"{path}:{number}"))
    if not anchors:
        raise UserError(f"'{path}' has no anchors: {remedy}")
    return anchors


def _manifest_anchor(data: bytes, path: Path) -> Head:
    try:
        manifest = parse_json(data)
    except ValueError as error:
        raise UserError(f"the manifest '{path}' cannot be read ({error}): restore it") from error
    anchor = manifest.get("audit")
    match = ANCHOR.fullmatch(anchor) if isinstance(anchor, str) else None
    if match is None:
        raise UserError(f"the manifest '{path}' has no anchor of an audit log: name that of an export of reviews")
    return _checked(match, str(path))


def _checked(match: re.Match[str], source: str) -> Head:
    anchor = Head(int(match[1]), match[2])
    if anchor.seq == 0 and anchor.hash != GENESIS:
        raise UserError(f"expect='{source}' names row 0, but the first row of a log is 1: use SEQ:HASH")
    return anchor
