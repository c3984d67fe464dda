"""Writes the model card of a folder, README.md, and what its figures come from, `lmcraft/card.json`."""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json, write_text
from lmcraft.folder.lock import lock_folder
from lmcraft.folder.names import RUN
from lmcraft.folder.recognition import read_object
from lmcraft.reports.card.markdown import escape
from lmcraft.reports.card.merging import merge_metadata
from lmcraft.reports.card.metadata import make_metadata
from lmcraft.reports.card.sections import write_card
from lmcraft.reports.card.vocabulary import check_metadata
from lmcraft.reports.evidence import Evidence, collect
from lmcraft.reports.evidence.readme import CARD, MAX_CARD_BYTES, Readme, parse_metadata
from lmcraft.terminal import PrintLine, line_printer

RECORD = f"{RUN}/card.json"
RECORD_VERSION = 1


def update_card(folder: ModelFolder | Path, print_line: PrintLine | None = None) -> Path | None:
    """Write the model card of a folder again.

    What people wrote in README.md stays; lmcraft writes between its own two lines, and the metadata that are its own. A card
    that cannot be written never fails the command that made the model: a line says why.

    Args:
        folder: a model folder with complete files.
        print_line: prints that line; by default to standard error.

    Returns:
        The path of the card; None if it was not written.
    """
    folder, print_line = ModelFolder(Path(folder)), print_line or line_printer()
    path = folder.path / CARD
    try:
        folder.run.mkdir(exist_ok=True)
        with lock_folder(folder.run, wait=True):
            problems = _write(folder, collect(folder))
    except UserError as error:
        print_line(f"'{path}' stays as it is: {error}; correct it, and write it again with `lmcraft report {folder.path}`")
        return None
    except OSError as error:
        print_line(
            f"'{path}' was not written: {error.strerror or error}; write it again with `lmcraft report {folder.path}`"
        )
        return None
    except Exception as error:  # the model is complete, and a bug in what describes it must not say otherwise
        print_line(f"'{path}' was not written, which is a bug: please report it ({type(error).__name__}: {error})")
        return None
    if problems:
        print_line(f"the hub would refuse the metadata of '{path}': {problems[0]}")
    return path


def _write(folder: ModelFolder, evidence: Evidence) -> list[str]:
    """Write the card and its record, and return what the hub would refuse in its metadata.

    Raises:
        UserError: the card that is there cannot be changed without losing something.
    """
    path = folder.path / CARD
    old = _read(path)
    readme = Readme.parse(old.removeprefix("\ufeff"))  # with which the hub would read no metadata
    has_license_file = any(folder.path.glob("LICEN[CS]E*"))
    metadata, owned = merge_metadata(
        readme.metadata, readme.owned, make_metadata(evidence, has_license_file), readme.newline
    )
    written = write_card(evidence)
    new = readme.with_metadata(metadata).with_part(written, owned, escape(evidence.name)).format()
    if new != old:
        write_text(path, new)
    record = _record(evidence, written)
    if read_object(folder.path / RECORD) != record:
        write_json(folder.path / RECORD, record)
    return check_metadata(parse_metadata(metadata))


def _read(path: Path) -> str:
    """The text of a card; empty if there is none.

    Raises:
        UserError: it must not be replaced, or is not text.
    """
    if path.is_symlink():
        raise UserError("it is a link, and what it leads to may be somebody else's; put a file in its place")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENOENT:
            return ""
        raise
    if not stat.S_ISREG(mode):
        raise UserError("it is not a file")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise UserError("it is write-protected")
    if path.stat().st_size > MAX_CARD_BYTES:
        raise UserError(f"it is larger than {MAX_CARD_BYTES >> 20} MiB")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("it is not text in UTF-8") from error


def _record(evidence: Evidence, written: str) -> Mapping[str, Any]:
    """What the figures of a card come from, for `lmcraft report --verify`."""
    figures = {
        figure.id: {"value": figure.value, "file": figure.file, "pointer": figure.pointer, "sha256": figure.sha256}
        for figure in evidence.figures()
    }
    return {"version": RECORD_VERSION, "card": {"file": CARD, "sha256": hash_part(written)}, "figures": figures}


def hash_part(written: str) -> str:
    """SHA-256 of lmcraft's part of a card, whatever ends its lines."""
    return hashlib.sha256("\n".join(written.splitlines()).encode("utf-8", "replace")).hexdigest()
