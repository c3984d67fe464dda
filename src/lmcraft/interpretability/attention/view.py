"""The view of attention: all heads of a text, why those that stand out attend where they do, and the checks."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from lmcraft.interpretability.attention.checks import check_induction, check_previous_token, check_reason, rank_heads
from lmcraft.interpretability.attention.head_scores import HeadScores, measure_scores, repeat_tokens
from lmcraft.interpretability.attention.patterns import Pattern, find_patterns, score_rule
from lmcraft.interpretability.attention.reasons import explain_score
from lmcraft.interpretability.attribution.edited_runs import in_float32
from lmcraft.interpretability.explanation import Attention
from lmcraft.interpretability.explanation import Head as HeadView
from lmcraft.interpretability.interventions import Head
from lmcraft.interpretability.residual_stream import ResidualStream, unsummable
from lmcraft.language_model import LanguageModel
from lmcraft.model.config import TransformerConfig

HEADS_OF_A_KIND, HEADS_OF_THE_LAST_TOKEN = 2, 3  # whose attention is explained
MIN_EXPLAINED_WEIGHT = 0.1
CHECKED_SEQUENCES = 2
Pair = tuple[Head, int, int]
"""A head, a query and a key."""


def explain_attention(model: LanguageModel, ids: Sequence[int], *, seed: int = 0) -> Attention:
    """All attention heads of a model on a text.

    Args:
        model: its heads are scored on random tokens of its vocabulary.
        ids: the tokens of the text.
        seed: of the random tokens, and of what the checks compare with.

    Raises:
        UserError: the text is longer than the context, context or vocabulary are too small, or the model has no heads.
    """
    transformer = in_float32(model.transformer)
    patterns = find_patterns(transformer, ids)
    scores = measure_scores(transformer, repeat_tokens(model.tokenizer, transformer, seed=seed))
    reasons = []
    if not why_without_reasons(transformer.config):
        stream = ResidualStream(transformer, ids)
        reasons = [explain_score(stream, *pair) for pair in choose_pairs(scores, patterns, ids)]
    fresh = repeat_tokens(model.tokenizer, transformer, sequences=CHECKED_SEQUENCES, seed=seed + 1)
    of_heads = [check(transformer, scores, fresh, seed=seed) for check in (check_induction, check_previous_token)]
    of_reasons = [check_reason(stream, reason, seed=seed) for reason in reasons]
    return Attention(_list_heads(scores, patterns), reasons, [*(check for check in of_heads if check), *of_reasons])


def why_without_reasons(config: TransformerConfig) -> str:
    """Why it is not said why heads attend, as a sentence; empty if it is."""
    return unsummable(config) or score_rule(config)


def choose_pairs(scores: HeadScores, patterns: Sequence[Sequence[Pattern]], ids: Sequence[int]) -> list[Pair]:
    """What is explained: where the first heads of each kind do most of what they are named for, and the strongest
    attention of the last token."""
    pairs: list[Pair] = []
    kinds: list[tuple[Tensor, Callable[[int, int], bool]]] = [
        (scores.induction, lambda query, key: key > 0 and ids[key - 1] == ids[query]),
        (scores.previous_token, lambda query, key: key == query - 1),
        (scores.duplicate_token, lambda query, key: key < query and ids[key] == ids[query]),
    ]
    for scores_LH, is_typical in kinds:
        for layer, number in rank_heads(scores_LH)[:HEADS_OF_A_KIND]:
            entries = _entries(patterns[layer][number], range(len(ids)))
            typical = [(weight, query, key) for weight, query, key in entries if is_typical(query, key)]
            strong = 0.9 * max((weight for weight, *_ in typical), default=1.0)
            latest = max(((query, key) for weight, query, key in typical if weight >= strong), default=None)
            if latest is not None and strong >= MIN_EXPLAINED_WEIGHT:
                pairs.append(((layer, number), *latest))
    last = len(ids) - 1
    strongest: list[tuple[float, Pair]] = []
    for layer, heads in enumerate(patterns):
        for number, pattern in enumerate(heads):
            entries = _entries(pattern, [last])
            strongest += [(weight, ((layer, number), last, key)) for weight, _, key in entries if 0 < key < last]
    strongest.sort(reverse=True)
    pairs += [pair for weight, pair in strongest[:HEADS_OF_THE_LAST_TOKEN] if weight >= MIN_EXPLAINED_WEIGHT]
    return list(dict.fromkeys(pairs))


def _entries(pattern: Pattern, queries: Iterable[int]) -> list[tuple[float, int, int]]:
    """Weight, query and key of each entry of some queries."""
    rows = ((query, pattern.keys[query], pattern.weights[query]) for query in queries)
    return [(weight, query, key) for query, keys, weights in rows for key, weight in zip(keys, weights, strict=True)]


def _list_heads(scores: HeadScores, patterns: Sequence[Sequence[Pattern]]) -> list[HeadView]:
    views = []
    for layer, heads in enumerate(patterns):
        for number, pattern in enumerate(heads):
            kinds = (scores.induction, scores.previous_token, scores.duplicate_token)
            induction, previous_token, duplicate_token = (float(kind[layer, number]) for kind in kinds)
            views.append(HeadView(layer, number, induction, previous_token, duplicate_token, pattern.keys, pattern.weights))
    return views
