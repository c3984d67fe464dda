"""Which items of a task the training data contain.

An item counts as contained if a run of words of it stands in the training text: N_WORDS words, as in GPT-3's check (arXiv
2005.14165, appendix C), or all of its words (`data/words.py`) if it has fewer. Runs that several items share (instructions,
a passage) tell nothing.

Shapes: W words of a document.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from lmcraft.data.loader import TokenSplit
from lmcraft.data.words import hash_words, run_hashes
from lmcraft.evaluation.results import Overlap
from lmcraft.folder import DatasetFolder
from lmcraft.terminal import ReportProgress
from lmcraft.tokenizer.tokenizer import Tokenizer

N_WORDS, MIN_WORDS = 13, 8
MAX_ITEMS_PER_RUN = 2  # a run of words in more items is part of the template


def find_overlap(texts: Mapping[int, str], documents: Iterable[str]) -> Overlap:
    """Find the items whose texts stand in documents.

    Args:
        texts: by the number of the item.
        documents: the training text; read once.
    """
    owners, lengths, unchecked = _index(texts)
    runs_of_length = {length: np.sort(np.array(sorted(owners[length]), dtype=np.uint64)) for length in lengths}
    contained: set[int] = set()
    for document in documents:
        hashes_W = hash_words(document)
        for length, runs in runs_of_length.items():
            windows = run_hashes(hashes_W, length)
            positions = np.searchsorted(runs, windows).clip(max=len(runs) - 1)
            for run in np.unique(windows[runs[positions] == windows]).tolist():
                contained |= owners[length][run]
    return Overlap(frozenset(contained), frozenset(unchecked))


def read_documents(folder: DatasetFolder, report: ReportProgress = lambda done, total: None) -> Iterator[str]:
    """The texts of a dataset's training split, as their tokens spell them; `report` gets the tokens read and their total.

    Raises:
        UserError: this is no dataset folder, or a shard is missing or damaged.
    """
    split, tokenizer = TokenSplit(folder, "train"), Tokenizer.load(folder.path)
    starts = split.document_starts(0, len(split)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(split)], strict=True):
        report(start, len(split))
        yield tokenizer.decode(split.slice(start, stop))
    report(len(split), len(split))


def _index(texts: Mapping[int, str]) -> tuple[dict[int, dict[int, set[int]]], list[int], set[int]]:
    """For each length of a run, the items of each run's hash; the lengths; and the items that are too short."""
    owners: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    unchecked = set()
    for number, text in texts.items():
        hashes_W = hash_words(text)
        if len(hashes_W) < MIN_WORDS:
            unchecked.add(number)
            continue
        length = min(N_WORDS, len(hashes_W))
        for run in run_hashes(hashes_W, length).tolist():
            owners[length][run].add(number)
    distinct = {
        length: {run: items for run, items in runs.items() if len(items) <= MAX_ITEMS_PER_RUN}
        for length, runs in owners.items()
    }
    checked = {item for runs in distinct.values() for items in runs.values() for item in items}
    return distinct, [length for length, runs in distinct.items() if runs], set(texts) - checked
