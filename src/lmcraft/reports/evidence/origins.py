"""Where a model comes from: its license, the models that it was made from, and what quantization cost."""

from collections.abc import Mapping
from typing import Any

from lmcraft.folder.names import RUN
from lmcraft.reports.evidence.figure import Record, Records, number, text
from lmcraft.reports.evidence.record import Parent, Quantization

LINEAGE, QUANTIZATION = f"{RUN}/lineage.json", f"{RUN}/quantization.json"
MAX_GENERATIONS = 32  # of parents that are read


def read_parents(lineage: Record | None) -> list[Parent]:
    """The models that this one was made from, the base first, each with its own parents."""
    if lineage is None:
        return []
    if digest := text(lineage.get("parent")):  # version 1
        return [Parent("base", text(lineage.get("source")), digest)]
    return _parents(lineage, lineage.object(), MAX_GENERATIONS)


def _parents(lineage: Record, document: Mapping[str, Any], generations: int) -> list[Parent]:
    entries = document.get("parents")
    parents = []
    for entry in entries if isinstance(entries, list) and generations else []:
        if isinstance(entry, dict):
            digest = text(entry.get("sha256"))
            own = lineage.object("ancestors", digest)
            parents.append(
                Parent(
                    role=text(entry.get("role")) or "base",
                    address=text(entry.get("address")),
                    sha256=digest,
                    made_by=text(own.get("kind")),
                    source=text(own.get("source")),
                    license=text(own.get("license")),
                    data=_names(own.get("data")),
                    parents=_parents(lineage, own, generations - 1),
                )
            )
    return parents


def _names(entries: Any) -> list[str]:
    addresses = (
        [text(entry.get("address")) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    return [address.rstrip("/").rpartition("/")[2] for address in addresses if address]


def read_quantization(records: Records) -> Quantization | None:
    """What quantization cost; None if the weights are not quantized."""
    record = records.json(QUANTIZATION)
    if record is None:
        return None
    names = {
        "perplexity_before": "perplexity before",
        "perplexity_after": "perplexity after",
        "kl_divergence": "KL divergence, nats per token",
        "agreement": "same most likely token",
    }
    tokens = number(record.get("tokens"))
    count = int(tokens) if tokens is not None else None
    figures = (record.figure(f"quantization.{key}", name, key, count=count) for key, name in names.items())
    bits: Any = record.get("bits")
    return Quantization(
        bits=bits if isinstance(bits, int) else 0,
        method=text(record.get("method")),
        text=text(record.get("text")).rpartition("/")[2],
        figures=[figure for figure in figures if figure is not None],
    )
