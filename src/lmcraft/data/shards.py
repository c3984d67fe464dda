"""Write a dataset folder: token shards that training memory-maps, with tokenizer and manifest.

Shapes: N documents.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.data.splits import TRAIN, VALIDATION, DocumentTable, Int64, Split, assign, parts_of
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, atomic_write, sha256_of, write_json

FORMAT_VERSION = 1
BEGINNING_CHARS = 2  # of a special token: "<|" for most
MAX_BATCH_DOCUMENTS, MAX_BATCH_CHARS = 512, 4_000_000  # encoded in one call, on all cores


class DatasetTokenizer(Protocol):
    """What writing a dataset needs of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Upper bound of token ids."""

    @property
    def eos_token_id(self) -> int | None:
        """Appended to each document, unless None."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Special tokens and their ids; in a text, they are plain text."""

    def encode_arrays(self, texts: Sequence[str]) -> Sequence[NDArray[np.uint32]]:
        """The token ids of each text, (T,)."""

    def count_lost_bytes(self, text: str, ids: NDArray[np.uint32]) -> int:
        """The number of bytes of a text that its token ids do not spell."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that token ids spell."""

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and the tokenizer's other files."""


def write_dataset(
    out: Path,
    read: Callable[[ReadStats], Iterable[Document]],
    tokenizer: DatasetTokenizer,
    *,
    validation: float = 0.05,
    split: Split = "hash",
    shard_tokens: int = 50_000_000,
    notes: Mapping[str, Any] | None = None,
) -> DatasetFolder:
    """Write a dataset folder atomically: token shards of both splits, tokenizer and manifest.

    Shards are `train-00000.npy` (token ids, uint16 or uint32) with `train-00000.documents.npy` (uint64, start of each
    document), likewise `validation-*`. All documents are encoded first, into one file, since the split depends on all of
    them. Memory is bounded by `shard_tokens` and 32 bytes per document, not by the size of the text.

    Args:
        out: the folder; replaced if it exists.
        read: returns the documents from the start and updates the stats; called once.
        tokenizer: encodes them.
        validation: share of the tokens held out for validation; 0: none.
        split: "hash" assigns documents by the hash of their text; "tail" holds out the end (`lmcraft.data.splits`).
        shard_tokens: maximum tokens per shard, unless a single document is longer.
        notes: recorded in the manifest.

    Raises:
        UserError: `validation` is invalid, or there is too little text.
    """
    if not 0 <= validation < 1:
        raise UserError(f"validation {validation} is not a share of the text; use a number of at least 0 and less than 1")
    stats = ReadStats()
    dtype = token_dtype(tokenizer.vocab_size)
    with atomic_write(out) as folder:
        folder.mkdir()
        stats.malformed_list = DatasetFolder(folder).skipped
        token_file = folder / "tokens.tmp"
        spellings = SpellingCounter(tokenizer.special_tokens)
        documents = _count_spellings(read(stats), spellings)
        table = _encode(show_progress(documents, stats, "encoding"), token_file, dtype, tokenizer)
        if not table.tokens.sum():
            raise UserError("the sources contain no text: check their paths and --text-field")
        writer = _SplitWriter(folder, np.memmap(token_file, dtype, "r"), table, assign(table, validation, split))
        splits = {name: writer.write(name, tokenizer, shard_tokens) for name in (TRAIN, VALIDATION)}
        check_splits(splits, validation)
        del writer  # closes the file
        token_file.unlink()
        tokenizer.save(folder)
        manifest = {
            "format_version": FORMAT_VERSION,
            "vocab_size": tokenizer.vocab_size,
            "dtype": dtype.name,
            "eos_token_id": tokenizer.eos_token_id,
            "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
            "splits": {name: entry for name, entry in splits.items() if entry["tokens"]},
            **stats.as_manifest(),
            "special_spellings": dict(spellings.counts.most_common()),
            **(notes or {}),
        }
        write_json(folder / "manifest.json", manifest)
    return DatasetFolder(out)


@dataclass(frozen=True)
class EncodedTable(DocumentTable):
    """Also the number of bytes that the tokens of each document spell, and of those that they do not, (N,)."""

    bytes: Int64
    lost_bytes: Int64


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest dtype of shards that holds all token ids."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def hash_text(text: str) -> int:
    """The hash, of 64 bits, by which a text is chosen for validation."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


class SpellingCounter:
    """Counts how often texts spell special tokens, which are read as plain text."""

    def __init__(self, special_tokens: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        # Most texts lack even the beginnings, which the special tokens of a tokenizer share.
        self._by_beginning: dict[str, list[str]] = {}
        for token in special_tokens:
            self._by_beginning.setdefault(token[:BEGINNING_CHARS], []).append(token)

    def add(self, text: str) -> None:
        """Count the spellings in a text."""
        for beginning, tokens in self._by_beginning.items():
            if beginning in text:
                for token in tokens:
                    if number := text.count(token):
                        self.counts[token] += number


def _count_spellings(documents: Iterable[Document], spellings: SpellingCounter) -> Iterator[Document]:
    for document in documents:
        spellings.add(document.text)
        yield document


def _encode(
    documents: Iterable[Document], token_file: Path, dtype: np.dtype[Any], tokenizer: DatasetTokenizer
) -> EncodedTable:
    """Write the tokens of all documents to a file, one after the other."""
    end = np.array([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id], np.uint32)
    hashes, tokens, sizes, lost_sizes = array("Q"), array("q"), array("q"), array("q")
    with token_file.open("wb") as file:
        for batch in _batches(documents):
            encoded = tokenizer.encode_arrays([document.text for document in batch])
            for document, ids in zip(batch, encoded, strict=True):
                file.write(np.concatenate([ids, end]).astype(dtype).data)
                lost = tokenizer.count_lost_bytes(document.text, ids)
                hashes.append(hash_text(document.text))
                tokens.append(len(ids) + len(end))
                sizes.append(document.size - lost)
                lost_sizes.append(lost)
    columns = (np.array(column, dtype=np.int64) for column in (tokens, sizes, lost_sizes))
    return EncodedTable(np.array(hashes, dtype=np.uint64), *columns)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    chars = 0
    for document in documents:
        batch.append(document)
        chars += len(document.text)
        if len(batch) >= MAX_BATCH_DOCUMENTS or chars >= MAX_BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def check_splits(splits: Mapping[str, Mapping[str, Any]], validation: float) -> None:
    """Raise UserError if a split that training needs is empty.

    Args:
        splits: the entries of the manifest; without one, a split is empty.
        validation: share of the tokens held out for validation.
    """
    needed = (TRAIN, VALIDATION) if validation else (TRAIN,)
    empty = next((name for name in needed if not splits[name]["tokens"]), None)
    if empty is not None:
        total = sum(summary["tokens"] for summary in splits.values())
        raise UserError(
            f"the {empty} split is empty: the text has {total} tokens, which validation {validation} does not divide in "
            "two; add text, or change the share"
        )


def shard_ranges(lengths: Int64, shard_tokens: int) -> Iterator[tuple[int, int]]:
    """The documents of each shard, as (first, last + 1): as many as fit into `shard_tokens`, and at least one.

    Args:
        lengths: tokens of each document, (N,).
        shard_tokens: maximum tokens per shard.
    """
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first] - lengths[first])
        last = max(first + 1, int(np.searchsorted(ends, before + shard_tokens, side="right")))
        yield first, last
        first = last


def save_shard(file: Path, tokens: NDArray[Any], lengths: Int64) -> dict[str, Any]:
    """Write the tokens of a shard, and where its documents begin; returns its entry in the manifest.

    Args:
        file: the shard; the documents are beside it, in `NAME.documents.npy`.
        tokens: of the documents, one after the other.
        lengths: tokens of each document, (N,).
    """
    np.save(file, tokens)
    documents = file.with_suffix(".documents.npy")
    np.save(documents, (np.cumsum(lengths) - lengths).astype(np.uint64))
    shard = {"file": file.name, "tokens": len(tokens), "sha256": sha256_of(file)}
    return {**shard, "documents_sha256": sha256_of(documents)}


def end_documents(tokens: NDArray[Any], lengths: Int64, end: int | None) -> None:
    """Put the end token, if there is one, in place of the last token of each document, which is another if it was cut."""
    if end is not None:
        tokens[np.cumsum(lengths) - 1] = end


def count_tail_bytes(
    table: EncodedTable, training: Int64, read_tail: Callable[[int], Sequence[int]], tokenizer: DatasetTokenizer
) -> tuple[Int64, Int64]:
    """The bytes of each document that are for validation, and those of them that are lost; each (N,).

    Args:
        table: of the documents.
        training: the number of tokens of each document that are for training, (N,).
        read_tail: the other tokens of the document with an index, which is cut.
        tokenizer: has encoded them.
    """
    size, lost = (np.where(training == 0, column, 0) for column in (table.bytes, table.lost_bytes))
    for n in np.flatnonzero((training > 0) & (training < table.tokens)).tolist():
        size[n] = min(len(tokenizer.decode_bytes(read_tail(n))), int(table.bytes[n]))
        length = int(table.tokens[n])
        lost[n] = int(table.lost_bytes[n]) * (length - int(training[n])) // length
    return size, lost


def summarize(table: EncodedTable, lengths: Int64, tail: tuple[Int64, Int64], name: str) -> dict[str, int]:
    """The counts of a split in the manifest.

    Args:
        table: of all documents.
        lengths: tokens of each document of the split, (M,).
        tail: of `count_tail_bytes`.
        name: of the split.
    """
    size, lost = (
        int((column - rest if name == TRAIN else rest).sum())
        for column, rest in zip((table.bytes, table.lost_bytes), tail, strict=True)
    )
    return {"documents": len(lengths), "tokens": int(lengths.sum()), "bytes": size, "lost_bytes": lost}


@dataclass(frozen=True)
class _SplitWriter:
    """Writes the tokens of a split in shards."""

    folder: Path
    tokens: NDArray[Any]
    """Of all documents, one after the other."""
    table: EncodedTable
    training: Int64
    """The number of tokens of each document that are for training, (N,)."""

    def write(self, name: str, tokenizer: DatasetTokenizer, shard_tokens: int) -> dict[str, Any]:
        """Write the shards of a split; returns its entry in the manifest."""
        firsts, lengths = parts_of(self.table, self.training, name, tokenizer.eos_token_id)
        nonempty = lengths > 0
        starts, lengths = (self.table.starts + firsts)[nonempty], lengths[nonempty]
        shards: list[dict[str, Any]] = []
        for first, last in shard_ranges(lengths, shard_tokens):
            file = self.folder / f"{name}-{len(shards):05}.npy"
            tokens = self._gather(starts[first:last], lengths[first:last])
            end_documents(tokens, lengths[first:last], tokenizer.eos_token_id)
            shards.append(save_shard(file, tokens, lengths[first:last]))
        tail = count_tail_bytes(self.table, self.training, self._read_tail, tokenizer)
        return {**summarize(self.table, lengths, tail, name), "shards": shards}

    def _read_tail(self, n: int) -> list[int]:
        """The tokens of a document that is cut that are for validation."""
        start = int(self.table.starts[n])
        tokens: list[int] = self.tokens[start + int(self.training[n]) : start + int(self.table.tokens[n])].tolist()
        return tokens

    def _gather(self, starts: Int64, lengths: Int64) -> NDArray[Any]:
        """The tokens of parts of documents; neighbors are copied together."""
        breaks = np.flatnonzero(starts[1:] != (starts + lengths)[:-1]) + 1
        firsts = starts[np.concatenate([[0], breaks])]
        lasts = (starts + lengths)[np.concatenate([breaks - 1, [len(starts) - 1]])]
        return np.concatenate([self.tokens[first:last] for first, last in zip(firsts, lasts, strict=True)])
