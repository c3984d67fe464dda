"""Compares a model card with its evidence: its figures with their files, and its text with what was written."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmcraft.errors import UserError
from lmcraft.folder import read_json, sha256_of
from lmcraft.reports.card.update import RECORD, hash_part
from lmcraft.reports.evidence.figure import Record, parse_pointer, read_record
from lmcraft.reports.evidence.readme import CARD, Readme

State = Literal["intact", "changed", "missing"]


@dataclass(frozen=True)
class CardCheck:
    """A figure of a card, or its text, compared with the evidence."""

    id: str
    """Of the figure; "card": the text that lmcraft wrote."""
    file: str
    """The file, relative to the model folder."""
    state: State
    expected: str = ""
    """The value or hash that was recorded."""
    actual: str = ""


def check_card(folder: Path) -> list[CardCheck]:
    """Compare the card of a model folder with its evidence; nothing to compare if lmcraft wrote none."""
    file = folder / RECORD
    if not file.is_file():
        return [CardCheck("card", RECORD, "missing")] if _has_part(folder) or os.path.lexists(file) else []
    try:
        record = read_json(file)
    except UserError as error:
        return [CardCheck("card", RECORD, "changed", "", str(error))]
    card, figures = record.get("card"), record.get("figures")
    if not isinstance(card, dict) or not isinstance(figures, dict) or not all(isinstance(f, dict) for f in figures.values()):
        return [CardCheck("card", RECORD, "changed", "", "it is no record of a model card")]
    files: dict[str, Record | None] = {}
    checks = [_check_text(folder, str(card.get("sha256")))]
    for id, figure in figures.items():
        name = str(figure.get("file"))
        if name not in files:
            files[name] = _read(folder, name)
        checks.append(_check_figure(id, name, figure, files[name], folder))
    return checks


def _read(folder: Path, name: str) -> Record | None:
    """A file of the folder; None if it cannot be read, or lies elsewhere."""
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return None
    return read_record(folder, name)


def _read_text(folder: Path) -> str:
    """The card.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    if os.path.lexists(folder / CARD) and not (folder / CARD).is_file():
        raise OSError(f"'{CARD}' is not a file")  # a pipe would never end
    return (folder / CARD).read_bytes().decode("utf-8-sig")


def _has_part(folder: Path) -> bool:
    """Whether the card has a part that lmcraft wrote."""
    try:
        return bool(Readme.parse(_read_text(folder)).written)
    except (OSError, UserError, UnicodeDecodeError):
        return False


def _check_text(folder: Path, expected: str) -> CardCheck:
    try:
        actual = hash_part(Readme.parse(_read_text(folder)).written)
    except FileNotFoundError:
        return CardCheck("card", CARD, "missing", expected)
    except (OSError, UserError, UnicodeDecodeError) as error:
        return CardCheck("card", CARD, "changed", expected, str(error))
    return CardCheck("card", CARD, "intact" if actual == expected else "changed", expected, actual)


def _check_figure(id: str, name: str, figure: Mapping[str, Any], record: Record | None, folder: Path) -> CardCheck:
    if record is None:
        if not (folder / name).is_file():
            return CardCheck(id, name, "missing", str(figure.get("sha256")))
        return CardCheck(id, name, "changed", str(figure.get("sha256")), sha256_of(folder / name))
    if record.sha256 != figure.get("sha256"):
        return CardCheck(id, name, "changed", str(figure.get("sha256")), record.sha256)
    value, pointer = figure.get("value"), str(figure.get("pointer", ""))
    if pointer:
        try:
            actual = parse_pointer(pointer, record.value)
        except KeyError:
            return CardCheck(id, name, "changed", str(value), "nothing")
        if not _is_same(value, actual):
            return CardCheck(id, name, "changed", str(value), str(actual)[:80])
    return CardCheck(id, name, "intact", str(value), str(value))


def _is_same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return type(first) is type(second) and bool(first == second)
