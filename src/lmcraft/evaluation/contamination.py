"""Which items of a task the training data contain.

An item counts as contained if a run of words of it stands in the training text: RUN_WORDS words, as in GPT-3's check (arXiv
2005.14165, appendix C), or all of its words (`data/words.py`) if it has fewer. Runs that several items share (instructions,
a passage) tell nothing.
"""

from collections.abc import Iterable, Iterator, Mapping

from lmcraft.data.loader import TokenSplit
from lmcraft.data.run_index import RunIndex
from lmcraft.data.words import hash_words
from lmcraft.evaluation.results import Overlap
from lmcraft.folder import DatasetFolder
from lmcraft.terminal import ReportProgress
from lmcraft.tokenizer.tokenizer import Tokenizer


def find_overlap(texts: Mapping[int, str], documents: Iterable[str]) -> Overlap:
    """Find the items whose texts stand in documents.

    Args:
        texts: by the number of the item.
        documents: the training text; read once.
    """
    index = RunIndex.build([texts])
    contained: set[int] = set()
    for document in documents:
        contained |= {occurrence.item for occurrence in index.find(hash_words(document))}
    return Overlap(frozenset(contained), frozenset(texts.keys() - index.items))


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
