"""Write a dataset folder: token shards that training memory-maps, with tokenizer and manifest.

Shapes: N documents.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.data.splits import TRAIN, VALIDATION, DocumentTable, Int64, Split, assign, parts_of
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, atomic_write, sha256_of, write_json

FORMAT_VERSION = 1
MAX_BATCH_DOCUMENTS, MAX_BATCH_CHARS = 512, 4_000_000  # encoded in one call, on all cores


def write_dataset(
    out: Path,
    read: Callable[[ReadStats], Iterable[Document]],
    *,
    encode_batch: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    save_tokenizer: Callable[[Path], None],
    vocab_size: int,
    eos_token_id: int | None,
    validation: float = 0.05,
    split: Split = "hash",
    shard_tokens: int = 50_000_000,
    count_lost_bytes: Callable[[str, Sequence[int]], int] = lambda text, ids: 0,
    decode_bytes: Callable[[Sequence[int]], bytes] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> DatasetFolder:
    """Write a dataset folder atomically: token shards of both splits, tokenizer and manifest.

    Shards are `train-00000.npy` (token ids, uint16 or uint32) with `train-00000.documents.npy` (uint64, start of each
    document), likewise `validation-*`. All documents are encoded first, into one file, since the split depends on all of
    them. Memory is bounded by `shard_tokens` and 32 bytes per document, not by the size of the text.

    Args:
        out: the folder; replaced if it exists.
        read: returns the documents from the start and updates the stats; called once.
        encode_batch: encodes texts to token ids.
        save_tokenizer: writes the tokenizer's files into a folder.
        vocab_size: upper bound of token ids.
        eos_token_id: appended to each document, unless None.
        validation: share of the tokens held out for validation; 0: none.
        split: "hash" assigns documents by the hash of their text; "tail" holds out the end (`lmcraft.data.splits`).
        shard_tokens: maximum tokens per shard, unless a single document is longer.
        count_lost_bytes: the number of bytes of a text that its token ids do not spell.
        decode_bytes: of the token ids of a part of a document; None: its bytes are estimated from its share of the tokens.
        settings: recorded in the manifest.

    Raises:
        UserError: `validation` is invalid, or there is too little text.
    """
    if not 0 <= validation < 1:
        raise UserError(f"validation {validation} is not a share of the text; use a number of at least 0 and less than 1")
    stats = ReadStats()
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    with atomic_write(out) as folder:
        folder.mkdir()
        token_file = folder / "tokens.tmp"
        documents = show_progress(read(stats), stats, "encoding")
        table = _encode(documents, token_file, dtype, encode_batch, eos_token_id, count_lost_bytes)
        if not table.tokens.sum():
            malformed = f" ({stats.malformed_count} rows were malformed)" if stats.malformed_count else ""
            raise UserError(f"the sources contain no text{malformed}; check their paths and text_field")
        training = assign(table, validation, split)
        tokens = np.memmap(token_file, dtype, "r")
        writer = _SplitWriter(folder, tokens, table, training, shard_tokens, decode_bytes)
        splits = {name: writer.write(name) for name in (TRAIN, VALIDATION)}
        _check_splits(splits, validation)
        del tokens, writer  # closes the file
        token_file.unlink()
        save_tokenizer(folder)
        manifest = {
            "format_version": FORMAT_VERSION,
            "vocab_size": vocab_size,
            "dtype": dtype.name,
            "eos_token_id": eos_token_id,
            "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
            "splits": {name: summary for name, summary in splits.items() if summary["tokens"]},
            **_read_summary(stats),
            "settings": dict(settings or {}),
        }
        write_json(folder / "manifest.json", manifest)
    return DatasetFolder(out)


def _read_summary(stats: ReadStats) -> dict[str, Any]:
    return {
        "sources": [asdict(source) for source in stats.sources],
        "invalid_bytes": stats.invalid_bytes,
        "invalid_bytes_by_file": stats.invalid_by_file,
        "malformed": {"count": stats.malformed_count, "first": stats.malformed_first},
    }


@dataclass(frozen=True)
class _EncodedTable(DocumentTable):
    """Also the number of bytes that the tokens of each document spell, and of those that they do not, (N,)."""

    bytes: Int64
    lost_bytes: Int64


def _encode(
    documents: Iterable[Document],
    token_file: Path,
    dtype: np.dtype[Any],
    encode_batch: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    eos_token_id: int | None,
    count_lost_bytes: Callable[[str, Sequence[int]], int],
) -> _EncodedTable:
    """Write the tokens of all documents to a file, one after the other."""
    end = () if eos_token_id is None else (eos_token_id,)
    hashes, tokens, sizes, lost_sizes = array("Q"), array("q"), array("q"), array("q")
    with token_file.open("wb") as file:
        for batch in _batches(documents):
            for document, ids in zip(batch, encode_batch([document.text for document in batch]), strict=True):
                file.write(np.array([*ids, *end], dtype=dtype).data)
                lost = count_lost_bytes(document.text, ids)
                digest = hashlib.blake2b(document.text.encode(), digest_size=8).digest()
                hashes.append(int.from_bytes(digest))
                tokens.append(len(ids) + len(end))
                sizes.append(document.size - lost)
                lost_sizes.append(lost)
    columns = (np.array(column, dtype=np.int64) for column in (tokens, sizes, lost_sizes))
    return _EncodedTable(np.array(hashes, dtype=np.uint64), *columns)


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


def _check_splits(splits: Mapping[str, Mapping[str, Any]], validation: float) -> None:
    needed = (TRAIN, VALIDATION) if validation else (TRAIN,)
    empty = next((name for name in needed if not splits[name]["tokens"]), None)
    if empty is not None:
        total = sum(summary["tokens"] for summary in splits.values())
        raise UserError(
            f"the {empty} split is empty: the text has {total} tokens, which validation {validation} does not divide in "
            "two; add text, or change the share"
        )


@dataclass
class _SplitWriter:
    """Writes the tokens of a split in shards."""

    folder: Path
    tokens: NDArray[Any]
    """Of all documents, one after the other."""
    table: _EncodedTable
    training: Int64
    """The number of tokens of each document that are for training, (N,)."""
    shard_tokens: int
    decode_bytes: Callable[[Sequence[int]], bytes] | None
    tail_bytes: Int64 = field(init=False)
    """The bytes of each document that are for validation, (N,)."""

    def __post_init__(self) -> None:
        table, training = self.table, self.training
        self.tail_bytes = np.where(training == 0, table.bytes, 0)
        for n in np.flatnonzero((training > 0) & (training < table.tokens)).tolist():
            start, length, kept = int(table.starts[n]), int(table.tokens[n]), int(training[n])
            if self.decode_bytes is None:
                size = round(int(table.bytes[n]) * (length - kept) / length)
            else:
                size = len(self.decode_bytes(self.tokens[start + kept : start + length].tolist()))
            self.tail_bytes[n] = min(size, int(table.bytes[n]))

    def write(self, name: str) -> dict[str, Any]:
        """Write the shards of a split; returns its entry in the manifest."""
        starts, lengths = parts_of(self.table, self.training, name)
        ends = np.cumsum(lengths)
        shards: list[dict[str, Any]] = []
        first = 0
        while first < len(lengths):
            before = int(ends[first] - lengths[first])
            last = max(first + 1, int(np.searchsorted(ends, before + self.shard_tokens, side="right")))
            file = self.folder / f"{name}-{len(shards):05}.npy"
            np.save(file, self._gather(starts[first:last], lengths[first:last]))
            positions = (ends - lengths)[first:last] - before
            np.save(file.with_suffix(".documents.npy"), positions.astype(np.uint64))
            shards.append({"file": file.name, "tokens": int(ends[last - 1]) - before, "sha256": sha256_of(file)})
            first = last
        is_here = self.training > 0 if name == TRAIN else self.training < self.table.tokens
        size = int((self.table.bytes - self.tail_bytes if name == TRAIN else self.tail_bytes).sum())
        lost = int(self.table.lost_bytes[is_here].sum())
        summary = {"documents": len(lengths), "tokens": int(lengths.sum()), "bytes": size, "lost_bytes": lost}
        return {**summary, "shards": shards}

    def _gather(self, starts: Int64, lengths: Int64) -> NDArray[Any]:
        """The tokens of parts of documents; neighbors are copied together."""
        breaks = np.flatnonzero(starts[1:] != (starts + lengths)[:-1]) + 1
        firsts = starts[np.concatenate([[0], breaks])]
        lasts = (starts + lengths)[np.concatenate([breaks - 1, [len(starts) - 1]])]
        return np.concatenate([self.tokens[first:last] for first, last in zip(firsts, lasts, strict=True)])
