"""Whether the heads and components that the view of attention names do what it says, beside random others."""

from collections.abc import Sequence
from math import comb

from torch import Tensor

from lmcraft.interpretability.attention.head_scores import (
    HeadScores,
    RepeatedTokens,
    measure_repetition_gain,
    measure_scores,
)
from lmcraft.interpretability.attention.reasons import ScoreReader
from lmcraft.interpretability.explanation import MIN_RANDOM, AttentionReason, Check
from lmcraft.interpretability.interventions import Head, ablate_heads, draw_other_sets, draw_others, list_heads
from lmcraft.interpretability.residual_stream import BIAS, ResidualStream
from lmcraft.model.transformer import Transformer

MIN_SCORE = 0.3
"""Mean attention from which a head is one of its kind."""
MAX_LISTED = 6


def rank_heads(scores_LH: Tensor) -> list[Head]:
    """The heads whose score is at least `MIN_SCORE`, highest first."""
    order = scores_LH.flatten().argsort(descending=True).tolist()
    heads = [divmod(index, scores_LH.shape[1]) for index in order]
    return [head for head in heads if float(scores_LH[head]) >= MIN_SCORE]


def check_induction(transformer: Transformer, scores: HeadScores, tokens: RepeatedTokens, *, seed: int) -> Check | None:
    """Without the induction heads, repetition should no longer help the model; None if it has none.

    The others are of neither kind: without the previous-token heads, induction heads do not work either.
    """
    previous = rank_heads(scores.previous_token)
    candidates = [head for head in list_heads(transformer.config) if head not in previous]
    heads = _enlarge(rank_heads(scores.induction), scores.induction, candidates)
    if not heads:
        return None
    measured = [
        measure_repetition_gain(transformer, tokens, ablate_heads(ablated))
        for ablated in ((), heads, *draw_other_sets(heads, candidates, MIN_RANDOM, seed))
    ]
    subject, measure = _name_heads("induction", heads), "gain from the repetition of random tokens, nats per token"
    return Check(subject, "ablated", measure, measured[0], measured[1], measured[2:], expected="falls")


def check_previous_token(transformer: Transformer, scores: HeadScores, tokens: RepeatedTokens, *, seed: int) -> Check | None:
    """Without the previous-token heads below, induction heads should not know where to look; None if it lacks either.

    The others are in the same layers if these have enough heads.
    """
    induction = rank_heads(scores.induction)
    top = max((layer for layer, _ in induction), default=0)
    named = [head for head in rank_heads(scores.previous_token) if head[0] < top]
    others = [head for head in list_heads(transformer.config) if head not in induction]
    below = [head for head in others if head[0] < top]
    candidates = below if comb(len(below) - len(named), len(named)) >= MIN_RANDOM else others
    heads = _enlarge(named, scores.previous_token, candidates)
    if not heads:
        return None
    measured = []
    for ablated in ((), heads, *draw_other_sets(heads, candidates, MIN_RANDOM, seed)):
        induction_LH = measure_scores(transformer, tokens, ablate_heads(ablated)).induction
        measured.append(sum(float(induction_LH[head]) for head in induction) / len(induction))
    subject, measure = _name_heads("previous-token", heads), "induction score, mean of the induction heads"
    return Check(subject, "ablated", measure, measured[0], measured[1], measured[2:], expected="falls")


def check_reason(stream: ResidualStream, reason: AttentionReason, *, seed: int) -> Check:
    """Without the component of the keys that the reason names first, the weight should fall, or rise if that lowers it."""
    reader = ScoreReader(stream, reason.layer)
    component, part = next((component, part) for component, part in reason.of_key if component != BIAS)
    others = draw_others(component, [name for name in reader.names if name != BIAS], MIN_RANDOM, seed)
    allowed = reader.allowed_keys(reason.query)
    weights = reader.weights_without(reason.head, reason.query, ["", component, *others])[:, reason.key - allowed.start]
    before, after, *random = weights.tolist()
    subject = f"{component} in the keys of head {reason.layer}.{reason.head}"
    measure = f"its weight from token {reason.query} to token {reason.key}"
    return Check(subject, "ablated", measure, before, after, random, expected="falls" if part > 0 else "rises")


def _enlarge(heads: Sequence[Head], scores_LH: Tensor, candidates: Sequence[Head]) -> list[Head]:
    """The candidates among the heads, and as many with the next highest scores as it takes for enough sets of others."""
    named = [head for head in heads if head in candidates]
    if not named:
        return []
    next_best = sorted(set(candidates) - set(named), key=lambda head: -float(scores_LH[head]))
    sizes = range(len(named), len(candidates))
    size = next((size for size in sizes if comb(len(candidates) - size, size) >= MIN_RANDOM), len(named))
    return [*named, *next_best[: size - len(named)]]


def _name_heads(kind: str, heads: Sequence[Head]) -> str:
    listed = ", ".join(f"{layer}.{number}" for layer, number in heads[:MAX_LISTED])
    more = f" and {len(heads) - MAX_LISTED} more" if len(heads) > MAX_LISTED else ""
    return f"{kind} {'head' if len(heads) == 1 else 'heads'} {listed}{more}"
