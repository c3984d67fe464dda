"""Reads lists of words: lmcraft's own, a user's, and other people's files that a list names.

A list is a TOML file with tables [[terms]], each of which has a category, a severity, and words or a file of words.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from lmcraft.config import read_toml
from lmcraft.errors import LmcraftError, UserError
from lmcraft.hub.data_file import fetch_data_file
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.lexicon.term import KINDS, SEVERITIES, Kind, Term, expand_forms
from lmcraft.moderation.lexicon.word_file import Encoding, Entry, read_entries
from lmcraft.setting_values import convert_value

OWN_LISTS = ("en", "zh", "identity", "reclaimed")
DEFAULT_CATEGORY, DEFAULT_SEVERITY = "profanity", 2
KEYS = ("category", "severity", "kind", "words", "file", "encoding", "columns", "categories")
COLUMNS = ("word", "category", "severity")
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
ADDRESS = re.compile(r"pypi:")


def read_list(name: str, folder: Path) -> list[Term]:
    """The terms of a list.

    Args:
        name: one of `OWN_LISTS`, or a file: .toml as above; or words as .txt, .csv, .tsv, .json or .jsonl, which count as
            profanity of severity 2 where they do not say otherwise.
        folder: where relative paths start.

    Raises:
        UserError: there is no such list, or an entry in it cannot be used; the message names it.
        RunError: a file that a list names cannot be downloaded.
    """
    if name in OWN_LISTS:
        return list(_read_own_list(name))
    path = folder / Path(name).expanduser()
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"lexicon '{path}' {problem}: use {', '.join(OWN_LISTS)}, or the path of a file of words")
    if path.suffix.lower() != ".toml":
        return list(_terms_of_file({}, path, path.stem, str(path)))
    try:
        return list(_parse(read_toml(path), path))
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"lexicon '{path}': {error}") from error


@cache
def _read_own_list(name: str) -> tuple[Term, ...]:
    path = Path(str(files(__package__) / "lists" / f"{name}.toml"))
    return tuple(_parse(read_toml(path), path))


def _parse(table: Mapping[str, Any], path: Path) -> Iterator[Term]:
    _check_keys(table, ("name", "terms"), "the list")
    name = convert_value(str, table.get("name", path.stem), "name")
    groups = convert_value(list[dict[str, Any]], table.get("terms", []), "terms")
    if not groups:
        raise UserError('it has no words: add [[terms]] with category = "..." and words = ["..."]')
    for position, group in enumerate(groups, 1):
        setting = f"terms[{position}]"
        _check_keys(group, KEYS, setting)
        if ("words" in group) == ("file" in group):
            raise UserError(f"{setting} needs either words or a file of words: write one of them")
        if "file" in group:
            yield from _terms_of_file(group, _locate(group["file"], path.parent, setting), name, setting)
        else:
            words = convert_value(list[str], group["words"], f"{setting}.words")
            make = _TermMaker(group, name, setting)
            for word in words:
                if not word.strip():
                    raise UserError(f"{setting}.words has an empty word: remove it")
                yield from (make(Entry(form)) for form in expand_forms(word) if form.strip())


def _terms_of_file(group: Mapping[str, Any], path: Path, name: str, setting: str) -> Iterator[Term]:
    columns = convert_value(dict[str, str], group.get("columns", {}), f"{setting}.columns")
    _check_keys(columns, COLUMNS, f"{setting}.columns")
    encoding = group.get("encoding", "plain")
    if encoding not in ENCODINGS:
        raise UserError(f"{setting}.encoding={encoding!r} is not one of {', '.join(ENCODINGS)}: use one of them")
    make = _TermMaker(group, name, setting)
    for entry in read_entries(path, encoding, columns):
        try:
            yield make(entry)
        except UserError as error:
            raise UserError(f"{path}:{entry.line}: {error}") from error


def _locate(address: Any, folder: Path, setting: str) -> Path:
    address = convert_value(str, address, f"{setting}.file")
    if ADDRESS.match(address):
        try:
            return fetch_data_file(address)
        except LmcraftError as error:
            raise type(error)(f"{setting}.file: {error}") from error
    path = folder / Path(address).expanduser()
    if not path.is_file():
        raise UserError(f"{setting}.file='{address}' does not exist: '{path}' is no file")
    return path


class _TermMaker:
    """Makes terms of the entries of a group, with the group's values where an entry has none of its own."""

    def __init__(self, group: Mapping[str, Any], source: str, setting: str) -> None:
        self._source, self._setting = source, setting
        kind = group.get("kind", "harmful")
        if kind not in KINDS:
            raise UserError(f"{setting}.kind={kind!r} is not one of {', '.join(KINDS)}: use one of them")
        self._kind: Kind = kind
        self._categories = convert_value(dict[str, str], group.get("categories", {}), f"{setting}.categories")
        for category in self._categories.values():
            _check_category(category, f"{setting}.categories")
        self._category = convert_value(str, group.get("category", DEFAULT_CATEGORY), f"{setting}.category")
        _check_category(self._category, f"{setting}.category")
        if kind == "harmful":
            self._severity = _severity(group.get("severity", DEFAULT_SEVERITY), f"{setting}.severity")
        elif "severity" in group:
            raise UserError(f"{setting}.severity: terms of kind {kind!r} never count: leave out the severity")
        else:
            self._severity = 0

    def __call__(self, entry: Entry) -> Term:
        severity, category = self._severity, self._category
        if entry.severity is not None and self._kind == "harmful":
            severity = _severity(entry.severity, "severity")
        if entry.category:
            category = self._categories.get(entry.category, category if self._categories else entry.category)
            _check_category(category, "category")
        return Term(entry.word, category, severity, self._kind, self._source)


def _severity(value: Any, setting: str) -> int:
    try:
        severity = int(float(value) + 0.5)  # lists of others have severities such as 2.4
    except (TypeError, ValueError, OverflowError):
        severity = 0
    if severity not in SEVERITIES or isinstance(value, bool):
        raise UserError(f"{setting}={value!r} is not 1 (mild), 2 (strong) or 3 (severe): use one of them")
    return severity


def _check_category(name: str, setting: str) -> None:
    if name not in CATEGORIES:
        raise UserError(f"{setting}: there is no category {name!r}: use one of {', '.join(CATEGORIES)}")


def _check_keys(table: Mapping[str, Any], keys: tuple[str, ...], setting: str) -> None:
    for key in table:
        if key not in keys:
            raise UserError(f"{setting} has no setting {key!r}: use {', '.join(keys)}")
