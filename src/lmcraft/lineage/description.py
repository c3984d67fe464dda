"""A lineage in words, for `lmcraft inspect` and reports."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from lmcraft.lineage.document import Lineage, Origin

VERBS = {
    "pretrain": "pretrained",
    "finetune": "fine-tuned",
    "export": "exported",
    "quantize": "quantized",
    "pull": "downloaded",
    "dataset": "prepared",
    "forget": "made to forget texts",
    "edited": "edited by hand",
}
HASH_CHARACTERS = 12
MAX_ROWS = 100


def describe_lineage(lineage: Lineage) -> dict[str, str]:
    """Names and sentences: how a folder was made, from what, and the hash of the whole history."""
    rows: dict[str, str] = {}
    if made := _describe_making(lineage):
        rows["made"] = made
    if without := lineage.summary.get("without"):
        rows["without"] = f"training documents {', '.join(map(str, islice(without, MAX_ROWS)))}"
    if lineage.source:
        rows["first source"] = lineage.source
    for origin, depth in islice(_history(lineage), MAX_ROWS):
        label = f"{'  ' * depth}{origin.role}"
        text = _describe_origin(origin)
        rows[_distinct(label, rows)] = text
    if lineage.sha256:
        rows["lineage"] = lineage.sha256
    return rows


def summarize_lineage(lineage: Lineage) -> dict[str, Any]:
    """The same for programs."""
    summary = {
        "kind": lineage.kind,
        "created": lineage.created,
        "lmcraft": lineage.lmcraft,
        "source": lineage.source,
        "license": lineage.license,
        "parents": [_summarize_origin(origin) for origin in lineage.parents],
        "data": [_summarize_origin(origin) for origin in lineage.data],
        "mixture": {name: dict(use) for name, use in lineage.mixture.items() if isinstance(use, dict)},
        "sha256": lineage.sha256,
    }
    return {name: value for name, value in summary.items() if value}


def _summarize_origin(origin: Origin) -> dict[str, str]:
    kind = "" if origin.lineage is None else origin.lineage.kind
    return {"role": origin.role, "address": origin.address, "kind": kind, "sha256": origin.sha256}


def _history(lineage: Lineage) -> Iterator[tuple[Origin, int]]:
    """Everything that a lineage was made from, each document once, with the number of steps before it."""
    seen = set()
    waiting = [(origin, 0) for origin in reversed(lineage.origins)]
    while waiting:
        origin, depth = waiting.pop()
        yield origin, depth
        if origin.lineage is not None and origin.sha256 not in seen:
            seen.add(origin.sha256)
            waiting += [(further, depth + 1) for further in reversed(origin.lineage.origins)]


def _describe_making(lineage: Lineage) -> str:
    parts = [VERBS.get(lineage.kind, "")]
    parts += [f"with lmcraft {lineage.lmcraft}"] if lineage.lmcraft and parts[0] else []
    parts += [f"on {lineage.created[:10]}"] if lineage.created and parts[0] else []
    return " ".join(part for part in parts if part)


def _describe_origin(origin: Origin) -> str:
    name = origin.address or origin.sha256[:HASH_CHARACTERS]
    made = "" if origin.lineage is None else _describe_making(origin.lineage)
    return f"{name} ({made})" if made else name


def _distinct(label: str, rows: dict[str, str]) -> str:
    """A label that no row has yet."""
    number = 2
    distinct = label
    while distinct in rows:
        distinct, number = f"{label} {number}", number + 1
    return distinct
