"""Merges lmcraft's metadata into a card's.

lmcraft changes only what it wrote itself: a card remembers it as hashes in the opening line of lmcraft's part, so a value
that a person edited is the person's from then on. Lines that do not change stay as they are, with their comments.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import yaml

from lmcraft.errors import UserError
from lmcraft.reports.evidence.readme import Owned, hash_value, parse_metadata

LISTS = ("language", "datasets", "tags", "metrics")  # whose values several writers share
# Values that mean something only beside another, and so have its owner.
BESIDE = {"license_name": "license", "license_link": "license", "base_model_relation": "base_model"}
INDEX = "model-index"
Hashes = str | list[str]
"""Of a value, or of each of a list."""
_KEY = re.compile(r"""^(?:"[^"\n]*"|'[^'\n]*'|[^\s#"'\-\[\]{}&*!|>%@`,?:][^\n]*?)[ \t]*:(?=[ \t\r\n]|$)""", re.MULTILINE)
_TRAILING_COMMENTS = re.compile(r"(?:^[ \t]*(?:#[^\n]*)?\r?\n?)+\Z", re.MULTILINE)


def merge_metadata(text: str, owned: Owned, new: Mapping[str, Any], newline: str = "\n") -> tuple[str, dict[str, Any]]:
    """Metadata with what lmcraft has to say in place of what it said before.

    Args:
        text: YAML.
        owned: what lmcraft wrote into it.
        new: what it writes now.
        newline: of the card.

    Returns:
        The YAML, and what is lmcraft's in it.
    """
    existing = parse_metadata(text)
    merged = dict(existing)
    record: dict[str, Any] = {}
    for key in dict.fromkeys((*owned, *new)):
        if key == INDEX:
            value, hashes = _merge_index(existing.get(key), _hashes(owned.get(key)), new.get(key))
        elif key in LISTS:
            value, hashes = _merge_list(existing.get(key), _hashes(owned.get(key)), new.get(key))
        else:
            value, hashes = _merge_value(key, existing, owned, new)
        if hashes:
            record[key] = hashes
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return _edit(text, existing, merged, newline), record


def _hashes(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _merge_value(key: str, existing: Mapping[str, Any], owned: Owned, new: Mapping[str, Any]) -> tuple[Any, Hashes]:
    """A value, and its hash if it is lmcraft's."""
    for name in (key, BESIDE.get(key, key)):
        if existing.get(name) is not None and hash_value(existing[name]) != owned.get(name):
            return existing.get(key), ""
    value = new.get(key)
    return value, "" if value is None else hash_value(value)


def _merge_list(existing: Any, owned: list[str], new: Any) -> tuple[Any, Hashes]:
    """People's values and then lmcraft's, and the hashes of these."""
    before = existing if isinstance(existing, list) else [] if existing is None else [existing]
    people = [value for value in before if hash_value(value) not in owned]
    ours = [value for value in new or [] if value not in people]
    values = people + ours
    hashes = [hash_value(value) for value in ours]
    if values == before:
        return existing, hashes
    return values or None, hashes


def _merge_index(existing: Any, owned: list[str], new: Any) -> tuple[Any, Hashes]:
    """The model index with lmcraft's results in place of earlier ones; one that nobody can read stays as it is."""
    if existing is not None and not _is_index(existing):
        return existing, []
    results = new[0]["results"] if new else []
    entries = [
        {**entry, "results": [result for result in entry["results"] if hash_value(result) not in owned]}
        for entry in existing or []
    ]
    entries = [entry for entry in entries if entry["results"]]
    if results:
        first = {"name": entries[0].get("name", new[0]["name"]) if entries else new[0]["name"]}
        first |= entries.pop(0) if entries else {"results": []}
        entries.insert(0, {**first, "results": [*first["results"], *results]})
    return entries or None, [hash_value(result) for result in results]


def _is_index(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("results"), list) for entry in value
    )


# Editing the text


def _edit(text: str, existing: Mapping[str, Any], merged: Mapping[str, Any], newline: str) -> str:
    """The YAML text of `existing`, changed into one of `merged`."""
    if existing == merged and text.strip():
        return text
    edited = _edit_lines(text, existing, merged, newline)
    try:
        if parse_metadata(edited) == merged:
            return edited
    except UserError:
        pass
    return newline.join(_dump(merged).splitlines())


def _edit_lines(text: str, existing: Mapping[str, Any], merged: Mapping[str, Any], newline: str) -> str:
    parts = []
    for key, part in _parts(text):
        if key not in existing or (key in merged and merged[key] == existing[key]):
            parts.append(part)
            continue
        comments = _TRAILING_COMMENTS.search(part)
        kept = comments[0] if comments else ""
        parts.append(_lines({key: merged[key]}, newline) + kept if key in merged else kept)
    whole = "".join(parts)
    added = {key: value for key, value in merged.items() if key not in existing}
    if added and whole and not whole.endswith("\n"):
        whole += newline
    return whole + (_lines(added, newline) if added else "")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The text of each entry of a mapping with its key; what comes before the first has the key ""."""
    starts = [match.start() for match in _KEY.finditer(text)]
    if not starts or starts[0] > 0:
        yield "", text[: starts[0] if starts else len(text)]
    for start, end in pairwise([*starts, len(text)]):
        match = _KEY.match(text, start)
        assert match is not None
        yield match[0].rstrip()[:-1].strip().strip("\"'"), text[start:end]


def _lines(values: Mapping[str, Any], newline: str) -> str:
    return newline.join(_dump(values).splitlines()) + newline


def _dump(values: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
    return text
