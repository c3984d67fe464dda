"""A text as one vector: a hidden state of its first or last token, or the mean over its tokens, computed in chunks.

Shapes: T tokens, C hidden size.
"""

import shutil
from pathlib import Path
from typing import Literal

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json
from lmcraft.folder.layout import EMBEDDING_FILES

Pooling = Literal["first", "last", "mean"]
SENTENCE_TRANSFORMERS = Path("1_Pooling/config.json")
# The keys of that file, and the pooling that each of them turns on.
POOLING_MODES: dict[str, Pooling] = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_mean_tokens": "mean",
}


def read_pooling(path: Path | None) -> Pooling:
    """How a model folder's embeddings are pooled, as sentence-transformers stores it; the mean where nothing is stored.

    Raises:
        UserError: the file is damaged, or pools in another way.
    """
    file = None if path is None else path / SENTENCE_TRANSFORMERS
    if file is None or not has_file(file):
        return "mean"
    modes = [key for key, is_on in read_json(file).items() if key.startswith("pooling_mode_") and is_on is True]
    if len(modes) != 1 or modes[0] not in POOLING_MODES:
        raise UserError(
            f"'{file}' has {', '.join(modes) or 'no pooling mode'}, which is not supported: set one of "
            f"{', '.join(POOLING_MODES)}"
        )
    return POOLING_MODES[modes[0]]


def copy_pooling(source: Path, target: Path) -> None:
    """Copy what says how a model folder's embeddings are computed, as far as it has it, to another folder."""
    for name in (SENTENCE_TRANSFORMERS, *EMBEDDING_FILES):
        if has_file(source / name):
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)


class HiddenStatePool:
    """Collects the hidden states of a text, after the final norm, chunk by chunk."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._total: Tensor | None = None
        self.num_tokens = 0
        """Number of tokens collected."""

    def add(self, hidden_TC: Tensor, position: int) -> None:
        """Add the states of the tokens from `position` on; those collected before are skipped."""
        new_TC = hidden_TC[max(0, self.num_tokens - position) :].float()
        if len(new_TC) == 0:
            return
        self.num_tokens += len(new_TC)
        if self._pooling == "last":
            self._total = new_TC[-1].clone()
        elif self._pooling == "first":
            self._total = new_TC[0].clone() if self._total is None else self._total
        else:
            total_C = new_TC.sum(dim=0)
            self._total = total_C if self._total is None else self._total + total_C

    @property
    def vector(self) -> Tensor:
        """The pooled state, (C,), float32."""
        assert self._total is not None, "no tokens were collected"
        return self._total / self.num_tokens if self._pooling == "mean" else self._total
