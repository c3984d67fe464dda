"""Parts of a dataset: the documents of one source, in one language, that are read equally often."""

from collections.abc import Mapping
from typing import NamedTuple

from lmcraft.data.mixture import MixtureConfig
from lmcraft.preparation.contracts import JsonObject, Record


class Part(NamedTuple):
    """What the documents of a part share; parts are ordered by it."""

    source: int  # index in the recipe
    source_name: str
    language: str
    copies: int

    @property
    def name(self) -> str:
        """Names the part in the manifest, such as "wiki.en.x3"."""
        language = f".{self.language}" if self.language else ""
        return f"{self.source_name}{language}{f'.x{self.copies}' if self.copies > 1 else ''}"

    def as_manifest(self) -> JsonObject:
        """The part's entry in the manifest, without its splits."""
        return {"name": self.name, "source": self.source_name, "language": self.language, "copies": self.copies}


def part_of(record: Record, copies: Mapping[str, int]) -> Part:
    """The part that a document belongs to.

    Args:
        record: the document; its notes may have the size of its cluster of near-duplicates.
        copies: how often a document is read by the size of its cluster, as in `MixtureConfig`.
    """
    count = MixtureConfig(copies=dict(copies)).copies_of(int(record.notes.get("cluster", 1))) if copies else 1
    return Part(record.id.source, record.notes["source"], record.language, count)
