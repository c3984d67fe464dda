"""From text to token shards, and from shards to batches."""

from lmcraft.data.loader import Batch, Batches, Sample, TokenSplit
from lmcraft.data.progress import with_progress
from lmcraft.data.reading import Document, Reading
from lmcraft.data.shards import write_dataset
from lmcraft.data.sources import read_documents

__all__ = [
    "Batch",
    "Batches",
    "Document",
    "Reading",
    "Sample",
    "TokenSplit",
    "read_documents",
    "with_progress",
    "write_dataset",
]
