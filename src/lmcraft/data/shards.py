"""Write a dataset folder: token shards that training memory-maps, with tokenizer and manifest."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmcraft.data.document_progress import show_progress
from lmcraft.data.documents import Document, ReadStats
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, atomic_write, sha256_of, write_json

FORMAT_VERSION = 1
TRAIN, VALIDATION = "train", "validation"
MAX_BATCH_DOCUMENTS, MAX_BATCH_CHARS = 512, 4_000_000  # encoded in one call, on all cores
Split = Literal["hash", "tail"]
SplitDocument = tuple[str, Document]  # name of the split, document


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
    settings: Mapping[str, Any] | None = None,
) -> DatasetFolder:
    """Write a dataset folder atomically: token shards of both splits, tokenizer and manifest.

    Shards are `train-00000.npy` (token ids, uint16 or uint32) with `train-00000.documents.npy` (uint64, start of each
    document), likewise `validation-*`. Memory is bounded by `shard_tokens`, not by the size of the text.

    Args:
        out: the folder; replaced if it exists.
        read: returns the documents from the start and updates the stats; called twice for `split="tail"`.
        encode_batch: encodes texts to token ids.
        save_tokenizer: writes the tokenizer's files into a folder.
        vocab_size: upper bound of token ids.
        eos_token_id: appended to each document, unless None.
        validation: share of the text held out for validation; 0: none.
        split: "hash" assigns documents by the hash of their text, so new sources do not move it; "tail" holds out the end.
        shard_tokens: maximum tokens per shard, unless a single document is longer.
        settings: recorded in the manifest.

    Raises:
        UserError: `validation` is invalid, or a split is empty.
    """
    if not 0 <= validation < 1:
        raise UserError(f"validation {validation} is not a share of the text; use a number of at least 0 and less than 1")
    stats = ReadStats()
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    with atomic_write(out) as folder:
        folder.mkdir()
        writers = {name: _SplitWriter(folder, name, dtype, eos_token_id, shard_tokens) for name in (TRAIN, VALIDATION)}
        documents = show_progress(read(stats), stats, "encoding")
        if split == "tail":
            assigned = _split_tail(documents, int((1 - validation) * _count_chars(read)))
        else:
            assigned = _split_by_hash(documents, validation)
        _write_tokens(assigned, writers, encode_batch)
        _check_splits(writers, validation, stats)
        save_tokenizer(folder)
        manifest = {
            "format_version": FORMAT_VERSION,
            "vocab_size": vocab_size,
            "dtype": dtype.name,
            "eos_token_id": eos_token_id,
            "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
            "splits": {name: writer.summary() for name, writer in writers.items() if writer.tokens},
            **_read_summary(stats),
            "settings": dict(settings or {}),
        }
        write_json(folder / "manifest.json", manifest)
    return DatasetFolder(out)


def _read_summary(stats: ReadStats) -> dict[str, Any]:
    return {
        "sources": [asdict(source) for source in stats.sources],
        "invalid_bytes": stats.invalid_bytes,
        "malformed": {"count": stats.malformed_count, "first": stats.malformed_first},
    }


def _write_tokens(
    documents: Iterable[SplitDocument],
    writers: Mapping[str, "_SplitWriter"],
    encode_batch: Callable[[Sequence[str]], Sequence[Sequence[int]]],
) -> None:
    for batch in _batches(documents):
        encoded = encode_batch([document.text for _, document in batch])
        for (name, document), ids in zip(batch, encoded, strict=True):
            writers[name].add(document, ids)
    for writer in writers.values():
        writer.flush()


def _count_chars(read: Callable[[ReadStats], Iterable[Document]]) -> int:
    stats = ReadStats()
    return sum(len(document.text) for document in show_progress(read(stats), stats, "measuring"))


def _check_splits(writers: Mapping[str, "_SplitWriter"], validation: float, stats: ReadStats) -> None:
    if not any(writer.tokens for writer in writers.values()):
        malformed = f" ({stats.malformed_count} rows were malformed)" if stats.malformed_count else ""
        raise UserError(f"the sources contain no text{malformed}; check their paths and text_field")
    needed = (TRAIN, VALIDATION) if validation else (TRAIN,)
    empty = next((name for name in needed if not writers[name].tokens), None)
    if empty is not None:
        documents = sum(writer.documents for writer in writers.values())
        raise UserError(
            f"the {empty} split is empty: {documents} documents are too few for validation {validation}; cut the "
            "text into more documents with `--document-chars 4000`, or hold out its end with `--split tail`"
        )


@dataclass
class _SplitWriter:
    """Collects the tokens of one split and writes them in shards."""

    folder: Path
    name: str
    dtype: np.dtype[Any]
    eos_token_id: int | None
    shard_tokens: int
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)
    pending: list[np.ndarray[Any, Any]] = field(default_factory=list)
    pending_tokens: int = 0

    def add(self, document: Document, ids: Sequence[int]) -> None:
        eos = () if self.eos_token_id is None else (self.eos_token_id,)
        tokens = np.array([*ids, *eos], dtype=self.dtype)
        if self.pending_tokens + len(tokens) > self.shard_tokens:
            self.flush()
        self.pending.append(tokens)
        self.pending_tokens += len(tokens)
        self.documents += 1
        self.tokens += len(tokens)
        self.bytes += len(document.text.encode())

    def flush(self) -> None:
        if not self.pending_tokens:
            return
        file = self.folder / f"{self.name}-{len(self.shards):05}.npy"
        np.save(file, np.concatenate(self.pending))
        ends = np.cumsum([len(tokens) for tokens in self.pending], dtype=np.uint64)
        np.save(file.with_suffix(".documents.npy"), np.concatenate([np.zeros(1, np.uint64), ends[:-1]]))
        self.shards.append({"file": file.name, "tokens": self.pending_tokens, "sha256": sha256_of(file)})
        self.pending, self.pending_tokens = [], 0

    def summary(self) -> dict[str, Any]:
        return {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes, "shards": self.shards}


def _split_by_hash(documents: Iterable[Document], validation: float) -> Iterator[SplitDocument]:
    for document in documents:
        digest = hashlib.blake2b(document.text.encode(), digest_size=8).digest()
        yield (VALIDATION if int.from_bytes(digest) < validation * 2**64 else TRAIN), document


def _split_tail(documents: Iterable[Document], train_chars: int) -> Iterator[SplitDocument]:
    """Put the first `train_chars` characters into the training split; a document across the boundary is cut."""
    remaining = train_chars
    for document in documents:
        head, tail = document.text[:remaining], document.text[remaining:]
        remaining -= len(head)
        if head:
            yield TRAIN, replace(document, text=head)
        if tail:
            yield VALIDATION, replace(document, text=tail, line=document.line + head.count("\n"))


def _batches(documents: Iterable[SplitDocument]) -> Iterator[list[SplitDocument]]:
    batch: list[SplitDocument] = []
    chars = 0
    for item in documents:
        batch.append(item)
        chars += len(item[1].text)
        if len(batch) >= MAX_BATCH_DOCUMENTS or chars >= MAX_BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
