"""Documents become token shards: files of token ids that training maps into memory."""

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
BATCH_DOCUMENTS, BATCH_CHARS = 512, 4_000_000  # what is encoded in one call, on all cores
Split = Literal["hash", "tail"]
Placed = tuple[str, Document]  # the name of a split, and a document in it


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
    """Write a dataset folder: shards of both splits, the tokenizer and the manifest, whole or not at all.

    Shards are `train-00000.npy` (token ids, uint16 or uint32) with `train-00000.documents.npy` (uint64, where each of
    its documents begins), likewise `validation-*`. Memory is bounded by `shard_tokens`, not by the text.

    Args:
        out: the folder; an older one there is replaced.
        read: gives the documents from the start and fills in the account; called twice for `split="tail"`.
        encode_batch: texts to token ids.
        save_tokenizer: writes the tokenizer's files into a folder.
        vocab_size: every token id is below it.
        eos_token_id: ends each document, unless None.
        validation: the share of the text that is kept for validation; 0 for none.
        split: "hash" sends a document where the hash of its text falls, so that equal texts stay together and new
            sources leave old documents where they were; "tail" keeps the end of the text, by characters.
        shard_tokens: a shard ends before the document that would take it beyond this.
        settings: recorded in the manifest.

    Raises:
        UserError: `validation` is not a share, or a split comes out empty.
    """
    if not 0 <= validation < 1:
        raise UserError(f"validation {validation} is not a share of the text: give a number from 0 up to, not with, 1")
    stats = ReadStats()
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    with atomic_write(out) as folder:
        folder.mkdir()
        writers = {name: _SplitWriter(folder, name, dtype, eos_token_id, shard_tokens) for name in (TRAIN, VALIDATION)}
        documents = show_progress(read(stats), stats, "encoding")
        if split == "tail":
            placed = _split_tail(documents, int((1 - validation) * _count_chars(read)))
        else:
            placed = _split_by_hash(documents, validation)
        for batch in _batches(placed):
            encoded = encode_batch([document.text for _, document in batch])
            for (name, document), ids in zip(batch, encoded, strict=True):
                writers[name].add(document, ids)
        for writer in writers.values():
            writer.flush()
        _check_splits(writers, validation, stats)
        save_tokenizer(folder)
        manifest = {
            "format_version": FORMAT_VERSION,
            "vocab_size": vocab_size,
            "dtype": dtype.name,
            "eos_token_id": eos_token_id,
            "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
            "splits": {name: writer.account() for name, writer in writers.items() if writer.tokens},
            "sources": [asdict(source) for source in stats.sources],
            "invalid_bytes": stats.invalid_bytes,
            "malformed": {"count": stats.malformed_count, "first": stats.malformed_first},
            "settings": dict(settings or {}),
        }
        write_json(folder / "manifest.json", manifest)
    return DatasetFolder(out)


def _count_chars(read: Callable[[ReadStats], Iterable[Document]]) -> int:
    stats = ReadStats()
    return sum(len(document.text) for document in show_progress(read(stats), stats, "measuring"))


def _check_splits(writers: Mapping[str, "_SplitWriter"], validation: float, stats: ReadStats) -> None:
    if not any(writer.tokens for writer in writers.values()):
        malformed = f" ({stats.malformed_count} rows were malformed)" if stats.malformed_count else ""
        raise UserError(f"the sources hold no text{malformed}: check their paths and text_field")
    needed = (TRAIN, VALIDATION) if validation else (TRAIN,)
    empty = next((name for name in needed if not writers[name].tokens), None)
    if empty is not None:
        documents = sum(writer.documents for writer in writers.values())
        raise UserError(
            f"the {empty} split is empty: {documents} documents are too few for validation {validation}; cut the "
            "text into more with `--document-chars 4000`, or keep its end for validation with `--split tail`"
        )


@dataclass
class _SplitWriter:
    """Collects the tokens of one split and writes them shard by shard."""

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
        ending = () if self.eos_token_id is None else (self.eos_token_id,)
        tokens = np.array([*ids, *ending], dtype=self.dtype)
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

    def account(self) -> dict[str, Any]:
        return {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes, "shards": self.shards}


def _split_by_hash(documents: Iterable[Document], validation: float) -> Iterator[Placed]:
    for document in documents:
        digest = hashlib.blake2b(document.text.encode(), digest_size=8).digest()
        yield (VALIDATION if int.from_bytes(digest) < validation * 2**64 else TRAIN), document


def _split_tail(documents: Iterable[Document], train_chars: int) -> Iterator[Placed]:
    """The first `train_chars` characters of all the text are for training; the document across the border is cut."""
    left = train_chars
    for document in documents:
        head, tail = document.text[:left], document.text[left:]
        left -= len(head)
        if head:
            yield TRAIN, replace(document, text=head)
        if tail:
            yield VALIDATION, replace(document, text=tail, line=document.line + head.count("\n"))


def _batches(placed: Iterable[Placed]) -> Iterator[list[Placed]]:
    batch: list[Placed] = []
    chars = 0
    for item in placed:
        batch.append(item)
        chars += len(item[1].text)
        if len(batch) >= BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
