"""From text to token shards, and from shards to batches."""

from lmcraft.data.loader import Batch, TokenDataset, Sample, TokenSplit
from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.data.shards import write_dataset
from lmcraft.data.sources import read_documents

__all__ = [
    "Batch",
    "TokenDataset",
    "Document",
    "Reading",
    "Sample",
    "TokenSplit",
    "read_documents",
    "show_progress",
    "write_dataset",
]
