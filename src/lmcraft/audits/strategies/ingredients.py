"""What strategies are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lmcraft.errors import UserError

Kind = Literal["data", "objective", "tuning", "decoding"]
KINDS: Mapping[Kind, str] = {
    "data": "changes the training data",
    "objective": "changes the loss of pretraining",
    "tuning": "tunes the model after pretraining",
    "decoding": "changes how tokens are drawn",
}


@dataclass(frozen=True)
class Ingredient:
    """One part of a strategy."""

    kind: Kind
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of `lmcraft finetune`, for kind "tuning"; the table of its name in the experiment file replaces them."""
    learns_from: Literal["filtered", "pairs", "prompts"] = "filtered"
    """For kind "tuning": the clean part of the corpus, pairs of the model's own answers, or prompts with a reward."""


INGREDIENTS: Mapping[str, Ingredient] = {
    "filter": Ingredient("data", "texts that the policy refuses as training data are left out"),
    "balance": Ingredient("data", "so many refused texts are left out that the others make up the target share"),
    "conditional": Ingredient("objective", "marks say which passages are bad, and the model writes after a good one"),
    "unlikelihood": Ingredient("objective", "the model learns not to write the tokens of bad passages"),
    "filtered-loss": Ingredient("objective", "bad passages are read, and not learned"),
    "kl": Ingredient("tuning", "tuned on clean text, close to itself", {"objective": "continued", "kl": 0.1}),
    "dpo": Ingredient(
        "tuning",
        "tuned on pairs of its own continuations, one of which the policy refuses (DPO)",
        {"objective": "dpo", "beta": 0.1, "too_long": "skip"},
        "pairs",
    ),
    "unlikelihood-pairs": Ingredient(
        "tuning",
        "tuned by unlikelihood of the refused ones of such pairs",
        {"objective": "unlikelihood", "too_long": "skip"},
        "pairs",
    ),
    "quantile": Ingredient(
        "tuning",
        "tuned on its own continuations, each with a line that says how harmless it is, and asked for the best (Quark)",
        {"objective": "quantile", "batch_size": 8, "micro_batch_size": 8, "too_long": "skip"},
        "prompts",
    ),
    "steering": Ingredient("decoding", "a model tuned on clean and one tuned on toxic text steer each token (DExperts)"),
    "guard": Ingredient("decoding", "the policy judges the answer, and a refusal takes the place of what it refuses"),
}
OBJECTIVES = {"conditional": "conditional", "unlikelihood": "unlikelihood", "filtered-loss": "filtered"}
"""The objective of `lmcraft pretrain` that each stands for."""


def check_ingredients(names: Sequence[str], title: str) -> None:
    """Check the ingredients of a strategy.

    Raises:
        UserError: one is unknown or named twice, or two of a kind exclude each other.
    """
    by_kind: dict[Kind, list[str]] = {}
    for name in names:
        if name not in INGREDIENTS:
            raise UserError(f"{title}: use={name!r} is no part of a strategy: use {', '.join(INGREDIENTS)}")
        if names.count(name) > 1:
            raise UserError(f"{title}: use names {name!r} twice: name it once")
        by_kind.setdefault(INGREDIENTS[name].kind, []).append(name)
    for kind, used in by_kind.items():
        if len(used) > 1 and kind in ("data", "objective"):
            raise UserError(f"{title}: {' and '.join(used)} exclude each other, since each {KINDS[kind]}: use one of them")


def ingredients_of(names: Sequence[str], kind: Kind) -> list[str]:
    """The ingredients of a kind, in the order of a strategy."""
    return [name for name in names if INGREDIENTS[name].kind == kind]
