"""How labels are shown before training, and which of them a reader would take for one another."""

import re
import unicodedata
from collections.abc import Hashable, Iterator
from decimal import Decimal

from lmcraft.finetuning.head import Labels

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
MAX_SHOWN = 20  # labels that look like another


def describe_labels(labels: Labels) -> Iterator[str]:
    """Lines for the user: the labels, and those that look alike but are different classes."""
    if not labels.names:
        return
    several = ", any number per text" if labels.multi_label else ""
    yield f"{len(labels.names)} labels{several}: {', '.join(map(_show, labels.names))}"
    groups: dict[Hashable, list[str]] = {}
    for name in labels.names:
        groups.setdefault(_meaning(name), []).append(name)
    alike = [name for names in groups.values() if len(names) > 1 for name in _tell_apart(names)]
    if alike:
        others = f" and {len(alike) - MAX_SHOWN} more" if len(alike) > MAX_SHOWN else ""
        yield f"labels that look alike, and are learned as different ones: {', '.join(alike[:MAX_SHOWN])}{others}"


def _show(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _meaning(name: str) -> Hashable:
    """What labels that differ only in case, spaces, invisible characters or the spelling of a number have in common."""
    text = _appearance(unicodedata.normalize("NFKC", name)).casefold()
    return Decimal(text) if NUMBER.fullmatch(text) else text


def _appearance(name: str) -> str:
    visible = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    return " ".join(visible.split())


def _tell_apart(names: list[str]) -> list[str]:
    """The names, with escapes if they look the same."""
    return list(map(ascii if len(set(map(_appearance, names))) < len(names) else _show, names))
