"""The rows that a classifier learns from: texts with the categories of harm in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Example, Labeled
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.normalization import normalize_term

HARMFUL = "harmful"
"""A label of texts whose category is not known."""
HARMLESS = ("harmless", "none", "safe")
"""Labels of texts without harm, as an empty list of labels is."""


@dataclass(frozen=True)
class LabeledText:
    """A text to learn from."""

    text: str
    """Its plain view."""
    harmful: bool
    categories: frozenset[str]
    """None, though it is harmful: they are not known."""


def label_texts(examples: Sequence[Example], names: Mapping[str, str]) -> list[LabeledText]:
    """Texts with their categories.

    Args:
        examples: as `finetuning` reads them.
        names: category, `HARMFUL` or "harmless", by label. Labels that are such words need no entry.

    Raises:
        UserError: a label is no category, and `names` lacks it, or a text is said to be harmless and harmful.
    """
    words = {name: name for name in (*CATEGORIES, HARMFUL)} | dict.fromkeys(HARMLESS, HARMLESS[0])
    for label, word in names.items():
        if word not in words:
            raise UserError(
                f"labels.{label}={word!r} is no category: use {HARMFUL}, {HARMLESS[0]} or one of {', '.join(CATEGORIES)}"
            )
    meanings = {**words, **{label: words[word] for label, word in names.items()}}
    return [_label_text(example, meanings) for example in examples if isinstance(example, Labeled)]


def _label_text(example: Labeled, meanings: Mapping[str, str]) -> LabeledText:
    for label in example.labels:
        if label not in meanings:
            raise UserError(
                f"{example.origin}: label {label!r} is no category: say what it means with --labels.{label} and a category, "
                f"{HARMFUL} or {HARMLESS[0]}"
            )
    chosen = {meanings[label] for label in example.labels}
    harms = chosen - {HARMLESS[0]}
    if harms and harms != chosen:
        raise UserError(f"{example.origin}: its labels {', '.join(example.labels)} say that it is harmless and harmful")
    return LabeledText(normalize_term(example.text), bool(harms), frozenset(harms - {HARMFUL}))
