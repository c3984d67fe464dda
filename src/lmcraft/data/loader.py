"""From token shards to batches: sample = f(seed, global index), whatever the number of workers or the batch size.

Shapes: B rows, T positions in a row.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.permutation import epoch_secrets, permute
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder

IGNORE_INDEX = -100  # a target that does not count, as in torch's cross-entropy
LENGTH_MULTIPLE = 32  # a batch that is trimmed is as long as its longest row, rounded up to this
Int64 = NDArray[np.int64]


class TokenSplit:
    """The tokens of one split as one long sequence, mapped into memory over its shards."""

    def __init__(self, folder: DatasetFolder | Path | str, split: str) -> None:
        """Open `split` ("train" or "validation") of a dataset folder.

        Raises:
            UserError: it is not a dataset folder, has no such split, or a shard is missing or damaged.
        """
        folder = folder if isinstance(folder, DatasetFolder) else DatasetFolder(Path(folder))
        splits = folder.token_manifest()["splits"]
        if split not in splits:
            raise UserError(f"dataset '{folder.path}' has no split '{split}': it has {', '.join(splits)}")
        self.name = split
        self.bytes: int = splits[split]["bytes"]
        self.documents: int = splits[split]["documents"]
        shards = splits[split]["shards"]
        self._tokens = [_open(folder.path / shard["file"], shard["tokens"]) for shard in shards]
        self._documents = [_open((folder.path / shard["file"]).with_suffix(".documents.npy")) for shard in shards]
        self._borders = [0, *accumulate(len(tokens) for tokens in self._tokens)]

    def __len__(self) -> int:
        return self._borders[-1]

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """The tokens at positions start..stop-1, in the shards' type."""
        parts = [self._tokens[shard][first:last] for shard, first, last in self._ranges(start, stop)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def document_starts(self, start: int, stop: int) -> Int64:
        """The positions within start..stop-1 where a document begins, in order."""
        found = [np.empty(0, np.int64)]
        for shard, first, last in self._ranges(start, stop):
            starts = self._documents[shard]
            low, high = np.searchsorted(starts, np.array([first, last], dtype=np.uint64))
            found.append(starts[low:high].astype(np.int64) + self._borders[shard])
        return found[1] if len(found) == 2 else np.concatenate(found)

    def _ranges(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """What of start..stop-1 lies in which shard: (shard, first, last + 1), counted within the shard."""
        assert 0 <= start < stop <= len(self), (start, stop, len(self))
        shard = bisect_right(self._borders, start) - 1
        while start < stop:
            border = self._borders[shard]
            end = min(stop, self._borders[shard + 1])
            yield shard, start - border, end - border
            start, shard = end, shard + 1


def _open(file: Path, length: int | None = None) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"shard '{file}' cannot be read ({error}): run `lmcraft prepare` again") from error
    if length is not None and len(array) != length:
        raise UserError(f"shard '{file}' has {len(array)} tokens, not {length}: run `lmcraft prepare` again")
    # A plain view: numpy's memmap class makes every slice several times slower.
    return array.view(np.ndarray)


@dataclass(frozen=True)
class Sample:
    """One row, each array (T,) of int64."""

    input_ids: Int64
    targets: Int64  # the token that follows; IGNORE_INDEX where there is none
    document_ids: Int64  # 0, 1, 2, ... within the row: one more where a document begins
    values: NDArray[np.float32] | None = None  # (K,) what else an objective knows of the row


@dataclass(frozen=True)
class Batch:
    """Rows, each array (B, T) of int64; the meaning is that of `Sample`."""

    input_ids: Int64
    targets: Int64
    document_ids: Int64
    values: NDArray[np.float32] | None = None  # (B, K)

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> "Batch":
        """Stack rows of equal length."""
        names = ("input_ids", "targets", "document_ids")
        values = [sample.values for sample in samples if sample.values is not None]
        stacked = {name: np.stack([getattr(sample, name) for sample in samples]) for name in names}
        return cls(**stacked, values=np.stack(values) if values else None)

    def trim_padding(self) -> "Batch":
        """Without the positions at the end that no row uses: those of the last document, whose targets do not count.

        A row that is one document to its end, such as a prompt of full length, has none of these.
        """
        last = (self.document_ids == self.document_ids[:, -1:]) & (self.document_ids > 0)
        padding = last & (self.targets == IGNORE_INDEX)
        unused = np.logical_and.accumulate(padding[:, ::-1], axis=1).sum(axis=1).min()
        T = self.targets.shape[1]
        length = min(T, -(-(T - int(unused)) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE) or min(T, LENGTH_MULTIPLE)
        names = ("input_ids", "targets", "document_ids")
        return replace(self, **{name: getattr(self, name)[:, :length] for name in names})

    def without_targets(self) -> "Batch":
        """The same rows, of which nothing is to be predicted."""
        return replace(self, targets=np.full_like(self.targets, IGNORE_INDEX))


class Dataset(Protocol):
    """What training reads: rows by a global index, and all of them in order."""

    sequence_length: int

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""

    def ordered(self) -> Iterator[Sample]:
        """All rows once."""


class TokenDataset:
    """Rows of `sequence_length` tokens for training: every token but the first is the target once in each epoch.

    The n = len(split) - 1 targets lie on a circle. Each epoch cuts it into rows from another random place, and visits
    the rows in another order; the last row of the circle is short, and padded. A row across the seam of the circle
    goes on at the start of the text, as a new document.
    """

    def __init__(self, split: TokenSplit, sequence_length: int, seed: int = 0) -> None:
        """Prepare to read `split`.

        Raises:
            UserError: the split has fewer than two tokens, or `sequence_length` is not positive.
        """
        if len(split) < 2:
            raise UserError(f"the {split.name} split has {len(split)} tokens: at least 2 are needed; prepare more text")
        if sequence_length < 1:
            raise UserError(f"sequence_length {sequence_length} is too small: give at least 1")
        self.split = split
        self.sequence_length = sequence_length
        self.seed = seed
        self.targets_per_epoch = len(split) - 1
        self.samples_per_epoch = -(-self.targets_per_epoch // sequence_length)

    def sample(self, index: int) -> Sample:
        """The row with a global index: epoch index // samples_per_epoch, and its place within the epoch."""
        assert index >= 0, index
        epoch, place = divmod(index, self.samples_per_epoch)
        offset, key = epoch_secrets(self.seed, epoch)
        return self._row(permute(place, self.samples_per_epoch, key), offset % self.targets_per_epoch)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return Batch.stack([self.sample(index) for index in indices])

    def ordered(self) -> Iterator[Sample]:
        """All rows once, from the first token to the last: for evaluation."""
        for row in range(self.samples_per_epoch):
            yield self._row(row, 0)

    def _row(self, row: int, offset: int) -> Sample:
        """Row number `row` of the circle that is cut at `offset`."""
        T, n = self.sequence_length, self.targets_per_epoch
        length = min(T, n - row * T)  # shorter than T in the circle's last row
        inputs, targets, begins = np.zeros(T, np.int64), np.full(T, IGNORE_INDEX, np.int64), np.zeros(T, np.int64)
        start = (row * T + offset) % n
        filled = 0
        while filled < length:  # twice where the row crosses the seam
            stop = min(start + length - filled, n)
            end = filled + stop - start
            tokens = self.split.slice(start, stop + 1)
            inputs[filled:end], targets[filled:end] = tokens[:-1], tokens[1:]
            begins[self.split.document_starts(start, stop) - start + filled] = 1
            begins[filled] = 1
            filled, start = end, 0
        begins[length:][:1] = 1  # padding is a document of its own
        begins[0] = 0
        return Sample(inputs, targets, np.cumsum(begins))
