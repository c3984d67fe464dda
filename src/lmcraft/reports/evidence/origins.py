"""Where a model comes from: its license, the models that it was made from, and what quantization cost."""

from typing import Any

from lmcraft.folder.names import RUN
from lmcraft.reports.evidence.figure import Record, Records, number, text
from lmcraft.reports.evidence.record import Parent, Quantization

LINEAGE, QUANTIZATION = f"{RUN}/lineage.json", f"{RUN}/quantization.json"


def read_parents(lineage: Record | None) -> list[Parent]:
    """The models that this one was made from, the base first."""
    if lineage is None:
        return []
    if digest := text(lineage.get("parent")):  # version 1
        return [Parent("base", text(lineage.get("source")), "", digest, {})]
    parents = []
    for entry in lineage.array("parents"):
        if isinstance(entry, dict):
            digest = text(entry.get("sha256"))
            document = lineage.object("ancestors", digest)
            license_name = text(document.get("license"))
            address = text(entry.get("address")) or text(document.get("source"))
            parents.append(Parent(text(entry.get("role")) or "base", address, license_name, digest, document))
    return parents


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
