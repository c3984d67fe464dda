"""From logits to a token. Pure functions of float32 logits; the order is that of transformers' `generate`:

bias, penalties, temperature, top_k, top_p, min_p, then a draw. A token that is ruled out has the logit -inf.

Shapes: B rows, V vocabulary, T tokens of a row so far, N of them generated.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig

# So many of the likeliest tokens are tried first for top_p: sorting a vocabulary of 150,000 takes 13 ms on one core,
# finding its first thousand 0.7 ms.
NUCLEUS = 1024


def next_tokens(
    logits_BV: Tensor,
    tokens_BT: Tensor,
    config: GenerationConfig,
    *,
    prompt_length: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One token id for each row, (B,): the likeliest if `config.greedy`, else drawn.

    Args:
        logits_BV: the model's, float32.
        tokens_BT: prompt and continuation so far; the penalties count in them.
        config: what to apply.
        prompt_length: how many of `tokens_BT` are the prompt.
        generator: on the logits' device; None is torch's global one.
    """
    logits_BV = penalized(logits_BV, tokens_BT, config, prompt_length=prompt_length)
    if config.greedy:
        return logits_BV.argmax(dim=-1)
    return draw(probabilities(logits_BV, config), generator)


def penalized(logits_BV: Tensor, tokens_BT: Tensor, config: GenerationConfig, *, prompt_length: int) -> Tensor:
    """Logits after bias and penalties, (B, V): the part that greedy choice and beam search have too."""
    if config.logit_bias:
        logits_BV = add_bias(logits_BV, config.logit_bias)
    if config.repetition_penalty != 1:
        logits_BV = penalize_repetition(logits_BV, tokens_BT, config.repetition_penalty)
    if config.presence_penalty or config.frequency_penalty:
        generated_BN = tokens_BT[:, prompt_length:]
        logits_BV = penalize_counts(logits_BV, generated_BN, config.presence_penalty, config.frequency_penalty)
    return logits_BV


def probabilities(logits_BV: Tensor, config: GenerationConfig) -> Tensor:
    """The distribution that a draw is made from, (B, V): temperature, top_k, top_p, min_p. Not for temperature 0."""
    if config.temperature != 1:
        logits_BV = logits_BV / config.temperature
    if config.top_k:
        logits_BV = keep_top_k(logits_BV, config.top_k)
    if config.top_p < 1:
        logits_BV = keep_top_p(logits_BV, config.top_p)
    if config.min_p:
        logits_BV = keep_min_p(logits_BV, config.min_p)
    return logits_BV.softmax(dim=-1)


def draw(probs_BV: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One token id for each row, (B,), by inverting the cumulative distribution.

    One random number a row, where torch.multinomial draws one for every token: 3 ms for a vocabulary of 150,000. Sums
    are in float64, or their rounding would outweigh rare tokens.

    Raises:
        UserError: the probabilities are not numbers, since settings have made the logits overflow.
    """
    cumulative_BV = probs_BV.double().cumsum(dim=-1)
    if not bool(cumulative_BV[:, -1].isfinite().all()):
        raise UserError(
            "the logits overflow: set repetition_penalty and temperature nearer to 1, and logit_bias nearer to 0"
        )
    point_B1 = torch.rand(len(probs_BV), 1, dtype=torch.float64, device=probs_BV.device, generator=generator)
    # right=True: the first sum above the point, which is never that of a token with probability zero
    return torch.searchsorted(cumulative_BV, point_B1 * cumulative_BV[:, -1:], right=True).squeeze(1)


def log_probabilities(logits_BV: Tensor, ids_B: Tensor) -> Tensor:
    """The model's own log-probability of each row's token, (B,): before bias, penalties, temperature and filters."""
    return logits_BV.gather(1, ids_B[:, None]).squeeze(1) - logits_BV.logsumexp(dim=-1)


def check_bias(bias: Mapping[int, float], vocab_size: int) -> None:
    """Raise UserError if a bias is for a token outside the vocabulary."""
    if outside := [token for token in bias if not 0 <= token < vocab_size]:
        raise UserError(
            f"logit_bias names the token {outside[0]}, but the model's token ids are 0 to {vocab_size - 1}: remove it"
        )


def add_bias(logits_BV: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Add each bias to its token's logit."""
    ids = torch.tensor(list(bias), device=logits_BV.device)
    values = torch.tensor(list(bias.values()), dtype=logits_BV.dtype, device=logits_BV.device)
    return logits_BV.index_add(1, ids, values.expand(len(logits_BV), -1))


def penalize_repetition(logits_BV: Tensor, tokens_BT: Tensor, penalty: float) -> Tensor:
    """Divide the logits of tokens that have occurred by `penalty`, or multiply where they are negative.

    CTRL (arXiv 1909.05858, section 4.1) divides throughout, which rewards a negative logit; transformers mends that.
    """
    seen_BT = logits_BV.gather(1, tokens_BT)
    return logits_BV.scatter(1, tokens_BT, torch.where(seen_BT < 0, seen_BT * penalty, seen_BT / penalty))


def penalize_counts(logits_BV: Tensor, generated_BN: Tensor, presence: float, frequency: float) -> Tensor:
    """logit - count * frequency - (count > 0) * presence, with the count of each token in the continuation."""
    ones_BN = torch.ones_like(generated_BN, dtype=logits_BV.dtype)
    counts_BV = torch.zeros_like(logits_BV).scatter_add_(1, generated_BN, ones_BN)
    return logits_BV - counts_BV * frequency - (counts_BV > 0) * presence


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """Rule out all but the `k` largest logits, and what equals the last of them."""
    least_B1 = logits_BV.topk(min(k, logits_BV.shape[-1])).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)


def keep_top_p(logits_BV: Tensor, p: float) -> Tensor:
    """Rule out all but the nucleus: the fewest likeliest tokens whose probabilities sum to at least `p`."""
    probs_BV = logits_BV.softmax(dim=-1)
    top, ids = probs_BV.topk(min(NUCLEUS, probs_BV.shape[-1]))
    if top.shape[-1] < probs_BV.shape[-1] and bool((top.sum(dim=-1) < p).any()):
        top, ids = probs_BV.sort(dim=-1, descending=True)
    before = top.cumsum(dim=-1) - top  # the sum of all likelier tokens
    before[:, 0] = 0  # rounding must not rule out the likeliest
    kept = logits_BV.gather(1, ids).masked_fill(before >= p, -torch.inf)
    return torch.full_like(logits_BV, -torch.inf).scatter(1, ids, kept)


def keep_min_p(logits_BV: Tensor, share: float) -> Tensor:
    """Rule out tokens whose probability is less than `share` of the likeliest token's."""
    probs_BV = logits_BV.softmax(dim=-1)
    return logits_BV.masked_fill(probs_BV < share * probs_BV.amax(dim=-1, keepdim=True), -torch.inf)
