"""The parts of a dataset as one: rows mixed in given shares, by index, and the parts' validation rows.

Shapes: P parts.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from heapq import heapify, heapreplace
from typing import Any

import numpy as np

from lmcraft.data.loader import Batch, Int64, RowReading, Sample, TokenDataset, TokenSplit
from lmcraft.data.mixture import MIN_TOKENS, Course, Mixture, parts_with_text
from lmcraft.data.shuffle import permute
from lmcraft.data.splits import TRAIN, VALIDATION
from lmcraft.folder import DatasetFolder

BLOCK_ROWS = 16  # few, so that a schedule holds in short runs, too


class MixedDataset:
    """Rows of several datasets, each with the share that a `Course` gives it.

    The rows are cut into blocks of about `BLOCK_ROWS`. Before block b, floor(c) rows of each dataset have been read, where
    c is what is due before row b * BLOCK_ROWS; so at a border no dataset is a row ahead or a whole row behind. The order
    inside a block is random. Which row an index has depends on the course and the seed only.
    """

    def __init__(self, datasets: Mapping[str, TokenDataset], course: Course, seed: int = 0) -> None:
        """Mix datasets with rows of equal length, in the order of the course's parts."""
        self.datasets, self.course, self.seed = datasets, course, seed
        self._rows = list(datasets.values())
        self.sequence_length = self._rows[0].sequence_length
        self._read_before = lru_cache(maxsize=8)(self._count_before)

    def __repr__(self) -> str:
        return f"MixedDataset({', '.join(self.datasets)}, seed={self.seed})"

    def sample(self, index: int) -> Sample:
        """The row with a global index."""
        part, row = self.locate(index)
        return self._rows[part].sample(row)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return Batch.stack([self.sample(index) for index in indices])

    def ordered(self) -> Iterator[Sample]:
        """All rows of the datasets once, each dataset in order and evenly spread."""
        rows = [dataset.ordered() for dataset in self._rows]
        heap = [(0.5 / dataset.samples_per_epoch, n, 0) for n, dataset in enumerate(self._rows)]
        heapify(heap)
        for _ in range(sum(dataset.samples_per_epoch for dataset in self._rows)):
            _, n, row = heap[0]
            yield next(rows[n])
            heapreplace(heap, ((row + 1.5) / self._rows[n].samples_per_epoch, n, row + 1))

    @property
    def targets_per_epoch(self) -> int:
        """Of all datasets."""
        return sum(dataset.targets_per_epoch for dataset in self._rows)

    @property
    def bytes_per_token(self) -> float:
        """Of the splits that the datasets read."""
        splits = [dataset.split for dataset in self._rows]
        return sum(split.bytes for split in splits) / sum(map(len, splits))

    def fingerprint(self) -> str:
        """Hash of the tokens of all datasets."""
        return hashlib.sha256("".join(dataset.fingerprint() for dataset in self._rows).encode()).hexdigest()

    def locate(self, index: int) -> tuple[int, int]:
        """The number of the dataset that has the row with a global index, and the row's index there."""
        assert index >= 0, index
        block = index // BLOCK_ROWS  # or a later one, since a border is up to P rows before the multiple
        while index >= self._read_before(block + 1).sum():
            block += 1
        first_P, last_P = self._read_before(block), self._read_before(block + 1)
        start, size = int(first_P.sum()), int((last_P - first_P).sum())
        key = int.from_bytes(hashlib.blake2b(f"block {self.seed} {block}".encode(), digest_size=8).digest())
        position = permute(index - start, size, key)
        ends_P = np.cumsum(last_P - first_P)
        part = int(np.searchsorted(ends_P, position, side="right"))
        return part, int(last_P[part]) - int(ends_P[part]) + position

    def _count_before(self, block: int) -> Int64:
        """The number of rows of each dataset before a block, (P,)."""
        return np.floor(self.course.rows_before(block * BLOCK_ROWS)).astype(np.int64)


class MixedText:
    """The training text of a dataset folder of several parts."""

    def __init__(
        self,
        folder: DatasetFolder,
        sequence_length: int,
        seed: int,
        mixture: Mixture,
        reading: RowReading | None = None,
    ) -> None:
        """Open a folder whose `mixture` was read from its manifest; its rows are read as `reading` reads them.

        Raises:
            UserError: a shard is missing or damaged.
        """
        self.mixture, self.sequence_length, self.seed, self.reading = mixture, sequence_length, seed, reading
        self._splits = {part["name"]: split for part, split in _open_parts(folder, TRAIN)}

    def __len__(self) -> int:
        return sum(map(len, self._splits.values()))

    def rows(self, count: int) -> MixedDataset:
        """The rows of a run that reads so many.

        Raises:
            UserError: the weights leave nothing to read, or the run is longer than the one that it stands for.
        """
        share = self.mixture.part_share(count * self.sequence_length)
        datasets = {
            name: TokenDataset(
                split,
                self.sequence_length,
                _part_seed(self.seed, name),
                part=(0.0, min(1.0, max(share, (self.sequence_length + 1) / len(split)))),  # at least a row
                reading=self.reading,
            )
            for name, split in self._splits.items()
        }
        return MixedDataset(datasets, self.mixture.course(count, self.sequence_length), self.seed)


def _part_seed(seed: int, name: str) -> int:
    """So that parts of equal size are in different orders."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest())


def validation_rows(
    folder: DatasetFolder,
    sequence_length: int,
    portion: tuple[float, float] = (0.0, 1.0),
    reading: RowReading | None = None,
) -> dict[str, MixedDataset]:
    """The validation rows of each source of a dataset of several parts, and under "" those of all, in proportion to tokens.

    Args:
        folder: of the dataset.
        sequence_length: of the rows.
        portion: from which share of each part to which.
        reading: how rows are read; None: as they are.

    Raises:
        UserError: a shard is missing or damaged, or there are fewer than two tokens.
    """
    sources: dict[str, dict[str, TokenDataset]] = {"": {}}
    for part, split in _open_parts(folder, VALIDATION):
        first, stop = (round(share * len(split)) for share in portion)
        if stop - first >= MIN_TOKENS:
            rows = TokenDataset(split, sequence_length, part=portion, reading=reading)
            sources[""][part["name"]] = sources.setdefault(part["source"], {})[part["name"]] = rows
    if not sources[""]:
        whole = TokenDataset(TokenSplit(folder, VALIDATION), sequence_length, part=portion, reading=reading)
        sources[""] = {VALIDATION: whole}
    return {name: MixedDataset(rows, _proportional(list(rows.values()))) for name, rows in sources.items()}


def _proportional(datasets: Sequence[TokenDataset]) -> Course:
    tokens_P = np.array([dataset.targets_per_epoch for dataset in datasets], np.float64)
    return Course([(0.0, tokens_P / tokens_P.sum())])


def _open_parts(folder: DatasetFolder, split: str) -> list[tuple[dict[str, Any], TokenSplit]]:
    """The parts of a dataset that have enough tokens of a split, as the manifest lists them."""
    manifest = folder.token_manifest()
    parts = parts_with_text(manifest, split)
    return [(part, TokenSplit.of_part(folder, split, part, manifest["dtype"])) for part in parts]
