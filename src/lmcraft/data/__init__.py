"""From text to token shards, and from shards to batches."""

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.data.loader import Batch, Sample, TokenDataset, TokenSplit
from lmcraft.data.shards import write_dataset
from lmcraft.data.sources import read_documents

__all__ = [
    "Batch",
    "Document",
    "ReadStats",
    "Sample",
    "TokenDataset",
    "TokenSplit",
    "read_documents",
    "show_progress",
    "write_dataset",
]
