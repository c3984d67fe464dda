"""The logits that an explanation is about: by default of the token that the model would write next, and of the runner-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Literal, SupportsIndex

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.prompt import check_token_ids, list_prompt_ids
from lmcraft.interpretability.choices import token_text
from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.token_ids import list_token_ids
from lmcraft.tokenizer.tokenizer import Tokenizer

Contrast = int | Literal["mean"] | None
"""The token to compare with, the mean of all logits, or the most likely token other than the target (None)."""


@dataclass(frozen=True)
class Question:
    """The logit of a token minus that of another one, or minus the mean of all."""

    target: int
    contrast: int | None
    """None: the mean."""

    def direction(self, model: Transformer) -> Tensor:
        """(C,) in float32: its product with the final norm's output is the difference of the logits."""
        head = model.output_head
        other = head.weight.float().mean(0) * head.scale if self.contrast is None else head.direction(self.contrast)
        return head.direction(self.target) - other

    def describe(self, tokenizer: Tokenizer) -> str:
        """The measure of a check."""
        other = "the mean logit" if self.contrast is None else f"that of {token_text(tokenizer, self.contrast)!r}"
        return f"logit of {token_text(tokenizer, self.target)!r} minus {other}"


def ask(logits: Tensor, target: int | None, contrast: Contrast, names: tuple[str, str] = ("target", "contrast")) -> Question:
    """The question about one position's logits, (V,).

    Args:
        logits: of the next token.
        target: None: the most likely token.
        contrast: None: the most likely other token.
        names: of both, in messages.

    Raises:
        UserError: a token id is outside the vocabulary, or both are the same.
    """
    size = len(logits)
    for name, token in zip(names, (target, None if contrast == "mean" else contrast), strict=True):
        if token is not None and not (isinstance(token, SupportsIndex) and 0 <= index(token) < size):
            raise UserError(f"{name}={token!r} is not a token of the model: use 0 to {size - 1}")
    ranked: list[int] = [*logits.topk(min(2, size)).indices.tolist(), 0]
    first, second = ranked[:2]
    if target is None:
        target = first if contrast != first else second
    if contrast == "mean":
        return Question(target, None)
    if contrast is None:
        contrast = first if target != first else second
    if contrast == target:
        raise UserError(f"{' and '.join(names)} are the same token, {target}: choose another {names[1]}")
    return Question(target, contrast)


def read_ids(model: LanguageModel, text: str | Sequence[int], name: str = "text") -> list[int]:
    """The token ids of a text that a model can explain.

    Raises:
        UserError: there are none, or some are outside the vocabulary.
    """
    ids = list_token_ids(list_prompt_ids(model.tokenizer, text))
    if not ids:
        raise UserError(f"the {name} has no tokens: give at least one")
    check_token_ids(ids, model.transformer.config.vocab_size)
    return ids


def check_numbers(model: Transformer, logits: Tensor) -> None:
    """Raise RunError for logits that are NaN or infinite."""
    if not bool(torch.isfinite(logits).all()):
        raise damaged_model_error(model)
