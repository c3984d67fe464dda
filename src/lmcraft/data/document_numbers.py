"""The number of the training document of each token in the rows of a run, and rows without some documents.

Documents are numbered from 0, in the order of the shards of the dataset's split "train".

Shapes: B rows of a batch, T tokens of a row.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.canaries import CanaryRows
from lmcraft.data.fill_in_middle import FillInMiddleReading
from lmcraft.data.loader import IGNORE_INDEX, Batch, Dataset, Sample, TokenDataset, TokenSplit
from lmcraft.data.parts import MixedDataset
from lmcraft.data.splits import TRAIN
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder

R = TypeVar("R", Batch, Sample)
NO_DOCUMENT = -1  # the number of a token of a canary


class DocumentNumbers(TokenSplit):
    """A split that has the number of its document in place of each token."""

    def __init__(self, split: TokenSplit, first_numbers: Mapping[str, int]) -> None:
        """Number the documents of `split`; `first_numbers` has that of the first document of each shard, by file name."""
        self.__dict__.update(split.__dict__)
        self._first_numbers = [first_numbers[Path(shard.file).name] for shard in self._shards]

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """The numbers of the documents of the tokens at positions start..stop-1, (stop - start,)."""
        parts = [
            self._first_numbers[shard]
            + np.searchsorted(self._shards[shard].documents, np.arange(first, last, dtype=np.uint64), side="right")
            - 1
            for shard, first, last in self._ranges(start, stop)
        ]
        return np.concatenate(parts)


class LeftOut:
    """The rows of a run with end tokens in place of some documents, none of which is a target; without end tokens, token 0.

    All other tokens stay where they are, so each row differs from that of the run in these documents only, and nothing
    that is computed from it depends on their text.
    """

    def __init__(self, rows: Dataset, dataset: DatasetFolder, documents: Collection[int]) -> None:
        """Leave out the documents with these numbers.

        Raises:
            UserError: the dataset has no document of such a number, or its text has marks.
        """
        numbers, count = number_rows(rows, dataset)
        self.rows, self._numbers, self.sequence_length = rows, numbers, rows.sequence_length
        manifest = dataset.token_manifest()
        missing = next((number for number in documents if not 0 <= number < count), None)
        if missing is not None:
            raise UserError(f"without={missing} is no document of '{dataset.path}', which has those from 0 to {count - 1:,}")
        if "marks" in manifest:
            raise UserError(
                f"without={next(iter(documents))} does not fit '{dataset.path}', whose text has marks: leave it out"
            )
        self._end = manifest.get("eos_token_id") or 0
        self._is_left_out = np.zeros(count, np.bool_)
        self._is_left_out[list(documents)] = True

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return self._leave_out(self.rows.batch(indices), self._numbers.batch(indices))

    def ordered(self) -> Iterator[Sample]:
        """All rows once, in order."""
        for row, numbers in zip(self.rows.ordered(), self._numbers.ordered(), strict=True):
            yield self._leave_out(row, numbers)

    def _leave_out(self, rows: R, numbers: R) -> R:
        inputs = np.where(self._is_left_out[numbers.input_ids], self._end, rows.input_ids)
        is_target = (numbers.targets != IGNORE_INDEX) & ~self._is_left_out[numbers.targets.clip(min=0)]
        return replace(rows, input_ids=inputs, targets=np.where(is_target, rows.targets, IGNORE_INDEX))

    def fingerprint(self) -> str:
        """Hash of the tokens."""
        return self.rows.fingerprint()


def number_rows(rows: Dataset, dataset: DatasetFolder) -> tuple[Dataset, int]:
    """The same rows with the numbers of documents in place of tokens, and the number of documents of the split "train".

    The targets of canaries have no number.
    """
    first_numbers, count = _number_shards(dataset)
    return _numbered(rows, first_numbers), count


def _numbered(rows: Dataset, first_numbers: Mapping[str, int]) -> Dataset:
    if isinstance(rows, CanaryRows):
        return CanaryRows(_numbered(rows.inner, first_numbers), rows.canaries, NO_DOCUMENT)
    if isinstance(rows, LeftOut):
        return _numbered(rows.rows, first_numbers)
    if isinstance(rows, MixedDataset):
        numbered = {name: _number_row_set(part, first_numbers) for name, part in rows.datasets.items()}
        return MixedDataset(numbered, rows.course, rows.seed)
    assert isinstance(rows, TokenDataset)
    return _number_row_set(rows, first_numbers)


def _number_row_set(rows: TokenDataset, first_numbers: Mapping[str, int]) -> TokenDataset:
    numbered = copy(rows)
    numbered.split = DocumentNumbers(rows.split, first_numbers)
    if isinstance(rows.reading, FillInMiddleReading):
        numbered.reading = None
        return _CutRowNumbers(rows, numbered, rows.reading.end)
    return numbered


class _CutRowNumbers(TokenDataset):
    """Rows of fill-in-the-middle that have the number of its document in place of each token."""

    def __init__(self, rows: TokenDataset, numbers: TokenDataset, end: int) -> None:
        """Number the tokens of `rows`; `numbers` has the numbers of the same rows before their documents were cut."""
        self.__dict__.update(rows.__dict__)
        self._numbers, self._end = numbers, end

    def _row(self, row: int, offset: int, key: Sequence[int]) -> Sample:
        cut, numbers = super()._row(row, offset, key), self._numbers._row(row, offset, key)
        length = int((numbers.targets != IGNORE_INDEX).sum())  # what follows is padding
        starts = np.flatnonzero(np.diff(numbers.document_ids[:length], prepend=-1))
        by_document = np.append(numbers.input_ids[starts], numbers.targets[length - 1])
        following = np.append(cut.document_ids[1:], cut.document_ids[-1] + (cut.input_ids[-1] == self._end))
        targets = np.where(cut.targets == IGNORE_INDEX, IGNORE_INDEX, by_document[following.clip(max=len(starts))])
        return replace(cut, input_ids=by_document[cut.document_ids.clip(max=len(starts))], targets=targets)


def _number_shards(dataset: DatasetFolder) -> tuple[dict[str, int], int]:
    """The number of the first document of each training shard, by file name, and the number of documents."""
    files = [shard["file"] for shard in dataset.token_manifest()["splits"][TRAIN]["shards"]]
    counts = [len(np.load((dataset.path / file).with_suffix(".documents.npy"), mmap_mode="r")) for file in files]
    firsts = accumulate(counts, initial=0)
    return dict(zip(files, firsts, strict=False)), sum(counts)
