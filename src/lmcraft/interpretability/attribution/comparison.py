"""Checks of an attribution: the same edit of what it names, and of random others of its kind."""

from collections.abc import Callable, Mapping, Sequence
from math import comb
from typing import Literal, TypeVar

from torch import Tensor

from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns
from lmcraft.interpretability.explanation import MIN_RANDOM, Check
from lmcraft.interpretability.interventions import Head, draw_other_sets

Item = TypeVar("Item", bound=int | Head)
"""A layer, a token or a head."""
MAX_OTHERS = 199
MAX_CHECK_TOKENS = 8192  # of all runs of a check; MIN_RANDOM of them are computed in any case


def count_named(candidates: int) -> int:
    """How many of the candidates an attribution names together, so that there are enough other sets of as many.

    One of 20 or more, which is compared with single others; two of 9 to 19, which are compared with pairs. With fewer, no
    check can be passed.
    """
    return 2 if comb(max(candidates - 2, 0), 2) >= MIN_RANDOM > candidates - 1 else 1


def name_highest(scores: Mapping[Item, float]) -> list[Item]:
    """The candidates of the highest scores, as many as `count_named` says, highest first; of equal ones the later."""
    ascending = sorted(scores, key=lambda item: scores[item])
    return ascending[: -count_named(len(scores)) - 1 : -1]


def check_named(
    scores: Mapping[Item, float],
    runs: EditedRuns,
    direction: Tensor,
    edit: Callable[[Item], Sequence[Edit]],
    *,
    kind: Literal["head", "feed-forward", "token"],
    action: Literal["ablated", "patched"],
    measure: str,
    expected: Literal["falls", "rises"] = "falls",
    seed: int = 0,
) -> Check:
    """Edit what scores highest, and as many random others.

    Args:
        scores: of all candidates of a kind; they alone decide what is edited.
        runs: of the text to edit.
        direction: (C,) of the measure, a difference of logits.
        edit: takes away one candidate.
        kind: of the candidates.
        action: the edit.
        measure: what is measured, with its unit.
        expected: what the attribution predicts.
        seed: of the others.
    """
    named = name_highest(scores)
    count = max(MIN_RANDOM, min(MAX_OTHERS, MAX_CHECK_TOKENS // runs.edited_length))
    sets = [tuple(named), *draw_other_sets(named, scores, count, seed)]
    after, *random = runs.measure([[change for item in chosen for change in edit(item)] for chosen in sets], direction)
    subject = f"{kind}{'s' * (len(named) > 1)} {' and '.join(map(_spell, named))}"
    return Check(subject, action, measure, float(runs.hidden @ direction), after, random, expected)


def _spell(item: int | Head) -> str:
    return str(item) if isinstance(item, int) else f"{item[0]}.{item[1]}"
