"""Training data: from text to token shards, and from shards to batches.

sources             files, folders, patterns and Hugging Face datasets as one stream of documents
pipes               pipes as sources, copied to files
source_files        finds the files of a source, checks each, and says what is left out and why
compression         .gz and .zst files, decompressed
binary_files        recognizes files that are not text
encodings           finds the encoding of a file, and reads it as UTF-8
formats             readers of .jsonl, .json, .csv, .tsv, .parquet and plain text, compressed or not
separated_values    rows of CSV and TSV files
translations        pairs of texts from .mo, .po and .tmx files
missing             values that stand for a missing one: null, NaN, blank text
value_kinds         what a value is that should be text, for errors
html_text           the text of an HTML page
words               words as hashes, and hashes of runs of words; native/ is the same in C++
run_index           finds the runs of words that items of tasks have
documents           `Document`, and `ReadStats`: what was read, what was skipped
document_progress   progress bar over documents
shards              writes a dataset folder: token shards and manifest
splits              divides documents between training and validation
mixture             the share of training that each source has: weights, epochs, temperature, copies, schedule
canaries            short documents with a secret, some of them in the data: what an audit looks for
document_numbers    the document of each token of the rows of a run, and rows without some documents
parts               the parts of a dataset, mixed as a run reads them
marks               special tokens that say which passages of a text are bad
fill_in_middle      rows whose documents are cut for fill-in-the-middle
loader              memory-mapped shards, samples and batches
description         a dataset's splits, and the shares of its parts
shuffle             shuffling without memory, by a keyed permutation
"""

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.data.loader import Batch, Sample, TokenDataset, TokenSplit
from lmcraft.data.shards import write_dataset
from lmcraft.data.sources import TextSources, read_documents

__all__ = [
    "Batch",
    "Document",
    "ReadStats",
    "Sample",
    "TextSources",
    "TokenDataset",
    "TokenSplit",
    "read_documents",
    "show_progress",
    "write_dataset",
]
