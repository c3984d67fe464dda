"""Read batches from token shards. A sample depends only on (seed, global index), so workers and batch size do not change it.

Shapes: B rows, T tokens of a row, K values per row.
"""

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.shuffle import epoch_keys, permute
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, sha256_of

IGNORE_INDEX = -100  # targets without loss, as in torch's cross-entropy
NPY_HEADER_BYTES = 128  # of an array with one dimension
DOCUMENT_BYTES = 8  # of the position of a document, uint64
LENGTH_MULTIPLE = 32  # trimmed batches are rounded up to a multiple of this length
Int64 = NDArray[np.int64]


class TokenSplit:
    """The tokens of one split as one sequence, memory-mapped across its shards."""

    def __init__(self, folder: DatasetFolder | Path | str, split: str) -> None:
        """Open `split` ("train" or "validation") of a dataset folder.

        Raises:
            UserError: it is not a dataset folder, the split does not exist, or a shard is missing or damaged.
        """
        folder = folder if isinstance(folder, DatasetFolder) else DatasetFolder(Path(folder))
        manifest = folder.token_manifest()
        splits = manifest["splits"]
        if split not in splits:
            remedy = "; prepare it again with --validation above 0" if split == "validation" else ""
            raise UserError(f"dataset '{folder.path}' has no split '{split}', only {', '.join(splits)}{remedy}")
        self._open_shards(folder.path, split, splits[split], manifest.get("dtype", "uint16"))

    @classmethod
    def of_part(cls, folder: DatasetFolder, split: str, part: Mapping[str, Any], dtype: str) -> "TokenSplit":
        """Open the tokens that a part of a dataset, as the manifest lists it, has in a split.

        Args:
            folder: of the dataset.
            split: "train" or "validation".
            part: an entry of the manifest's `parts`.
            dtype: the manifest's.

        Raises:
            UserError: a shard is missing or damaged.
        """
        tokens = cls.__new__(cls)
        tokens._open_shards(folder.path, split, part[split], dtype)
        return tokens

    def _open_shards(self, folder: Path, name: str, summary: Mapping[str, Any], dtype: str) -> None:
        self.name = name
        self.fingerprint = hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()
        """Hash of the split's summary, which has the hash of each shard."""
        self.bytes: int = summary["bytes"]
        self.documents: int = summary["documents"]
        itemsize = np.dtype(dtype).itemsize
        self._shards = [_Shard(f"{folder}/{shard['file']}", shard["tokens"], itemsize) for shard in summary["shards"]]
        self._borders = [0, *accumulate(shard.length for shard in self._shards)]

    def __repr__(self) -> str:
        return f"TokenSplit({self.name!r}, {len(self):,} tokens)"

    def __len__(self) -> int:
        return self._borders[-1]

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """The tokens at positions start..stop-1, (stop - start,), in the shards' dtype."""
        parts = [self._shards[shard].tokens[first:last] for shard, first, last in self._ranges(start, stop)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def document_starts(self, start: int, stop: int) -> Int64:
        """Positions in start..stop-1 where a document begins, ascending."""
        parts = [np.empty(0, np.int64)]
        for shard, first, last in self._ranges(start, stop):
            starts = self._shards[shard].documents
            low, high = np.searchsorted(starts, np.array([first, last], dtype=np.uint64))
            parts.append(starts[low:high].astype(np.int64) + self._borders[shard])
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def _ranges(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the part of start..stop-1 in each shard: (shard, first, last + 1), positions within the shard."""
        assert 0 <= start < stop <= len(self), (start, stop, len(self))
        shard = bisect_right(self._borders, start) - 1
        while start < stop:
            border = self._borders[shard]
            end = min(stop, self._borders[shard + 1])
            yield shard, start - border, end - border
            start, shard = end, shard + 1


class _Shard:
    """A shard of tokens. A large dataset has thousands, so one is mapped into memory when it is first read.

    A file whose size is not that of its tokens is opened at once, which says what is wrong with it.
    """

    def __init__(self, file: str, length: int, itemsize: int) -> None:
        self.file, self.length = file, length
        self.documents_file = file.removesuffix(".npy") + ".documents.npy"
        if _size(file) != NPY_HEADER_BYTES + itemsize * length:
            _ = self.tokens
        if (_size(self.documents_file) - NPY_HEADER_BYTES) % DOCUMENT_BYTES:
            _ = self.documents

    @cached_property
    def tokens(self) -> NDArray[Any]:
        return _open(self.file, self.length)

    @cached_property
    def documents(self) -> NDArray[Any]:
        """The start of each document."""
        return _open(self.documents_file)


def _size(file: str) -> int:
    """The size in bytes; -1 if there is no such file."""
    try:
        return os.stat(file).st_size  # noqa: PTH116  # a path object takes as long as the call
    except OSError:
        return -1


def check_dataset(folder: DatasetFolder) -> None:
    """Check that the shards and the tokenizer are those whose hashes the manifest has. It takes about a second per GB.

    Raises:
        UserError: one of them has changed.
    """
    manifest = folder.token_manifest()
    digests = {folder.path / "tokenizer.json": manifest.get("tokenizer_sha256")}
    for shard in (shard for split in manifest["splits"].values() for shard in split["shards"]):
        file = folder.path / shard["file"]
        digests |= {file: shard.get("sha256"), file.with_suffix(".documents.npy"): shard.get("documents_sha256")}
    with ThreadPoolExecutor() as pool:
        for file, actual in zip(digests, pool.map(_hash, digests), strict=True):
            if actual != (digests[file] or actual):
                raise UserError(
                    f"'{file}' has changed since the dataset was prepared: restore it from a copy, or run `lmcraft prepare` "
                    "again"
                )


def hash_dataset(folder: Path, *splits: str) -> str:
    """Hash of the tokens of some splits of a dataset folder, whose files are checked (`check_dataset`).

    Raises:
        UserError: it is not a dataset folder, a split does not exist, or a file has changed.
    """
    check_dataset(DatasetFolder(folder))
    return " ".join(TokenSplit(folder, name).fingerprint for name in splits)


def _hash(file: Path) -> str:
    status = file.stat()
    return _hash_version(file, status.st_size, status.st_mtime_ns)


@cache
def _hash_version(file: Path, size: int, mtime_ns: int) -> str:
    """The hash of a file as it was last changed, since a family of runs checks its dataset before each."""
    return sha256_of(file)


def _open(file: str, length: int | None = None) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise UserError(f"shard '{file}' cannot be read ({error}); run `lmcraft prepare` again") from error
    if length is not None and len(array) != length:
        raise UserError(f"shard '{file}' has {len(array)} tokens, not {length}; run `lmcraft prepare` again")
    # A plain array view, because slicing numpy's memmap class is several times slower.
    return array.view(np.ndarray)


@dataclass(frozen=True)
class Sample:
    """One training row; arrays are (T,), int64."""

    input_ids: Int64
    targets: Int64  # next tokens; IGNORE_INDEX where there is no loss
    document_ids: Int64  # 0, 1, 2, ... within the row
    values: NDArray[np.float32] | None = None  # (K,) per-row inputs of the objective


@dataclass(frozen=True)
class Batch:
    """A batch of rows; arrays are (B, T), int64, with the meaning of `Sample`."""

    input_ids: Int64
    targets: Int64
    document_ids: Int64
    values: NDArray[np.float32] | None = None  # (B, K)

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> "Batch":
        """A batch of rows of equal length."""
        names = ("input_ids", "targets", "document_ids")
        values = [sample.values for sample in samples if sample.values is not None]
        stacked = {name: np.stack([getattr(sample, name) for sample in samples]) for name in names}
        return cls(**stacked, values=np.stack(values) if values else None)

    def trim_padding(self) -> "Batch":
        """The batch without trailing positions that are padding in every row, rounded up to `LENGTH_MULTIPLE`.

        Padding is the last document of a row, if it is not the only one and has no targets.
        """
        last = (self.document_ids == self.document_ids[:, -1:]) & (self.document_ids > 0)
        padding = last & (self.targets == IGNORE_INDEX)
        unused = np.logical_and.accumulate(padding[:, ::-1], axis=1).sum(axis=1).min()
        T = self.targets.shape[1]
        length = min(T, -(-(T - int(unused)) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE) or min(T, LENGTH_MULTIPLE)
        names = ("input_ids", "targets", "document_ids")
        return replace(self, **{name: getattr(self, name)[:, :length] for name in names})

    def without_targets(self) -> "Batch":
        """The same rows without any targets."""
        return replace(self, targets=np.full_like(self.targets, IGNORE_INDEX))


class Dataset(Protocol):
    """A map-style dataset for training: rows by global index."""

    sequence_length: int

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""

    def ordered(self) -> Iterator[Sample]:
        """All rows once, in order: for evaluation."""

    def fingerprint(self) -> str:
        """Hash of what the rows are made of."""


class RowReading(Protocol):
    """How a run reads rows of text whose tokens are not all text, such as marks (`lmcraft.data.marks`)."""

    look_back: int
    """How many tokens before a row `judge` may depend on."""

    def judge(self, tokens: NDArray[Any], starts: Int64) -> NDArray[np.bool_]:
        """What is to be known about each token, (T,); `starts` are the positions where documents start."""

    def read(self, row: Sample, judged: NDArray[np.bool_], key: Sequence[int]) -> Sample:
        """The row as the run reads it.

        Args:
            row: its tokens.
            judged: of each target, (T,).
            key: of random choices; another one for each row and epoch.
        """


class TokenDataset:
    """Pretraining rows of `sequence_length` tokens; in each epoch, every token but the first is a target exactly once.

    The tokens are those of a split, or of its part between two shares of its length.

    The n = len(split) - 1 targets form a circle. Each epoch cuts the circle into rows at a new random offset and visits the
    rows in a new order; the last row is shorter and padded. A row that crosses the end of the text continues at its start,
    as a new document.
    """

    def __init__(
        self,
        split: TokenSplit,
        sequence_length: int,
        seed: int = 0,
        *,
        part: tuple[float, float] = (0.0, 1.0),
        reading: RowReading | None = None,
    ) -> None:
        """Read `split`, or a part of it, in rows, each as `reading` reads it.

        Raises:
            UserError: there are fewer than two tokens, or `sequence_length` is not positive.
        """
        self._first, stop = (round(share * len(split)) for share in part)
        if (tokens := stop - self._first) < 2:
            owner = f"the {split.name} split" if part == (0.0, 1.0) else f"a part of the {split.name} split"
            raise UserError(f"{owner} has {tokens} tokens, but at least 2 are needed; prepare more text")
        if sequence_length < 1:
            raise UserError(f"sequence_length {sequence_length} is too small; the minimum is 1")
        self.split = split
        self.sequence_length = sequence_length
        self.seed = seed
        self.reading = reading
        self.targets_per_epoch = tokens - 1
        self.samples_per_epoch = -(-self.targets_per_epoch // sequence_length)

    def __repr__(self) -> str:
        return f"TokenDataset({self.split!r}, sequence_length={self.sequence_length}, seed={self.seed})"

    def sample(self, index: int) -> Sample:
        """The row with a global index; its epoch is index // samples_per_epoch."""
        assert index >= 0, index
        epoch, position = divmod(index, self.samples_per_epoch)
        offset, key = epoch_keys(self.seed, epoch)
        row = permute(position, self.samples_per_epoch, key)
        return self._row(row, offset % self.targets_per_epoch, (self.seed, index))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return Batch.stack([self.sample(index) for index in indices])

    def ordered(self) -> Iterator[Sample]:
        """All rows once, from the first token to the last: for evaluation."""
        for row in range(self.samples_per_epoch):
            yield self._row(row, 0, (row,))

    def fingerprint(self) -> str:
        """Hash of the tokens."""
        return self.split.fingerprint

    def _row(self, row: int, offset: int, key: Sequence[int]) -> Sample:
        """Row number `row` of the circle cut at `offset`; random choices in it depend on the key."""
        T, n = self.sequence_length, self.targets_per_epoch
        length = min(T, n - row * T)  # shorter than T in the circle's last row
        inputs, targets, begins = np.zeros(T, np.int64), np.full(T, IGNORE_INDEX, np.int64), np.zeros(T, np.int64)
        judged = np.zeros(T, np.bool_)
        start = (row * T + offset) % n
        filled = 0
        while filled < length:  # two passes if the row crosses the end of the text
            stop = min(start + length - filled, n)
            end = filled + stop - start
            first, last = self._first + start, self._first + stop  # positions in the split
            tokens = self.split.slice(first, last + 1)
            inputs[filled:end], targets[filled:end] = tokens[:-1], tokens[1:]
            begins[self.split.document_starts(first, last) - first + filled] = 1
            begins[filled] = 1
            if self.reading is not None:
                judged[filled:end] = self._judge_targets(self.reading, first, last)
            filled, start = end, 0
        begins[length:][:1] = 1  # padding is a document of its own
        begins[0] = 0
        sample = Sample(inputs, targets, np.cumsum(begins))
        return sample if self.reading is None else self.reading.read(sample, judged, key)

    def _judge_targets(self, reading: RowReading, first: int, last: int) -> NDArray[np.bool_]:
        """What the reading says about the tokens after position `first`, up to `last`, of the split."""
        begin = max(0, first - reading.look_back)
        starts = self.split.document_starts(begin, last + 1) - begin
        return reading.judge(self.split.slice(begin, last + 1), starts)[first + 1 - begin :]
