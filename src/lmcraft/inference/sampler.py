"""From logits to a token.

Samplers apply in this order: logit_bias, repetition_penalty, presence_penalty and frequency_penalty, dry_*, the tokens that
are not allowed (suppress_tokens, begin_suppress_tokens, min_new_tokens, no_repeat_ngram_size), top_n_sigma, temperature,
top_k, top_p, min_p, then a random draw. This is the order of transformers' `generate`; DRY and top_n_sigma come where
llama.cpp has them, between the other penalties and top_k. Custom logits processors come after the penalties, as in
transformers. Otherwise, llama.cpp applies temperature last, and vLLM applies min_p before top_k. A token that is ruled out
has the logit -inf.

Shapes: B rows, V vocabulary, T tokens of a row so far, N of them generated.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.dry_penalty import SequenceBreakers, find_breakers, penalize_dry
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.tokenizer.tokenizer import Tokenizer

# top_p looks at this many of the most likely tokens first: sorting a vocabulary of 150,000 takes 13 ms on one core, finding
# its top 1024 takes 0.7 ms.
TOP_P_CANDIDATES = 1024

LogitsProcessor = Callable[[Tensor, Tensor], Tensor]
"""Maps the tokens so far, (B, T), and the logits, (B, V), to new logits, (B, V), as transformers' `LogitsProcessor` does."""


def as_processors(processors: LogitsProcessor | Sequence[LogitsProcessor] | None) -> tuple[LogitsProcessor, ...]:
    """transformers' `LogitsProcessorList` is both a list and callable; it counts as a list.

    Raises:
        UserError: one of them is not a function.
    """
    if processors is None:
        return ()
    several = tuple(processors) if isinstance(processors, Iterable) else (processors,)
    if others := [processor for processor in several if not callable(processor)]:
        raise UserError(f"logits_processor has {others[0]!r}, which is not a function: give functions of ids and logits")
    return several


class Sampler:
    """Chooses the next tokens of the sequences of one request. It keeps no state of any sequence.

    Args:
        config: the settings to apply.
        vocab_size: of the model.
        eos_token_ids: tokens that `min_new_tokens` delays.
        tokenizer: of the model; needed for the DRY penalty's sequence breakers.
        logits_processor: called in order after the penalties.

    Raises:
        UserError: a bias is for a token outside the vocabulary, or a tokenizer is needed and there is none.
    """

    def __init__(
        self,
        config: GenerationConfig,
        *,
        vocab_size: int,
        eos_token_ids: Collection[int] = (),
        tokenizer: Tokenizer | None = None,
        logits_processor: Sequence[LogitsProcessor] = (),
    ) -> None:
        check_bias(config.logit_bias, vocab_size)
        self.config = config
        self.eos_token_ids = eos_token_ids
        self.logits_processor = logits_processor
        self._breakers = SequenceBreakers()
        if config.uses_dry and config.dry_sequence_breakers:
            if tokenizer is None:
                raise UserError("dry_sequence_breakers needs a tokenizer: pass one, or set dry_sequence_breakers=()")
            self._breakers = find_breakers(tokenizer, config.dry_sequence_breakers)

    def next_tokens(
        self, logits_BV: Tensor, tokens_BT: Tensor, *, prompt_length: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """One token id for each row, (B,): the most likely one if `config.greedy`, else drawn at random.

        Args:
            logits_BV: the model's, float32.
            tokens_BT: prompt and continuation so far; the penalties depend on them.
            prompt_length: number of prompt tokens at the start of `tokens_BT`.
            generator: on the CPU; None is torch's global one.
        """
        logits_BV = self.penalize(logits_BV, tokens_BT, prompt_length=prompt_length)
        if self.config.greedy:
            return logits_BV.argmax(dim=-1)
        return draw(probabilities(logits_BV, self.config), generator)

    def penalize(self, logits_BV: Tensor, tokens_BT: Tensor, *, prompt_length: int) -> Tensor:
        """Logits after bias and penalties, (B, V), which apply to greedy decoding and beam search too."""
        config = self.config
        if config.logit_bias:
            logits_BV = add_bias(logits_BV, config.logit_bias)
        if config.repetition_penalty != 1:
            logits_BV = penalize_repetition(logits_BV, tokens_BT, config.repetition_penalty)
        if config.presence_penalty or config.frequency_penalty:
            generated_BN = tokens_BT[:, prompt_length:]
            logits_BV = penalize_counts(logits_BV, generated_BN, config.presence_penalty, config.frequency_penalty)
        if config.uses_dry:
            logits_BV = penalize_dry(logits_BV, tokens_BT, config, self._breakers)
        if suppressed := self._suppressed(tokens_BT.shape[1] - prompt_length):
            logits_BV = rule_out(logits_BV, _mask_of(logits_BV, suppressed))
        if config.no_repeat_ngram_size:
            logits_BV = rule_out(logits_BV, find_repeated(logits_BV, tokens_BT, config.no_repeat_ngram_size))
        for processor in self.logits_processor:
            logits_BV = _apply(processor, tokens_BT, logits_BV)
        if self.logits_processor and bool((certain_BV := logits_BV.isposinf()).any()):
            only_certain_BV = torch.zeros_like(logits_BV).masked_fill(~certain_BV, -torch.inf)
            logits_BV = torch.where(certain_BV.any(dim=-1, keepdim=True), only_certain_BV, logits_BV)
        return logits_BV

    def _suppressed(self, num_generated: int) -> tuple[int, ...]:
        """The tokens that are not allowed after this many new ones, wherever they would stand."""
        config = self.config
        first = config.begin_suppress_tokens if num_generated == 0 else ()
        ends = self.eos_token_ids if num_generated < config.min_new_tokens else ()
        return (*config.suppress_tokens, *first, *ends)


def _apply(processor: LogitsProcessor, tokens_BT: Tensor, logits_BV: Tensor) -> Tensor:
    name = getattr(processor, "__name__", type(processor).__name__)
    result = processor(tokens_BT, logits_BV.clone())  # transformers' processors may change their argument
    if not isinstance(result, Tensor) or result.shape != logits_BV.shape:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise UserError(
            f"logits_processor {name} returned {shape}: return the logits, a tensor of the shape {tuple(logits_BV.shape)}"
        )
    if bool(result.isnan().any()):
        raise UserError(f"logits_processor {name} returned NaN: return numbers; -inf rules a token out, inf chooses it")
    if bool(result.isneginf().all(dim=-1).any()):
        raise UserError(f"logits_processor {name} ruled out every token: leave at least one a logit above -inf")
    return result


def probabilities(logits_BV: Tensor, config: GenerationConfig) -> Tensor:
    """The distribution that a token is drawn from, (B, V): top_n_sigma, temperature, top_k, top_p, min_p.

    Temperature must not be 0.
    """
    if config.top_n_sigma:
        logits_BV = keep_top_n_sigma(logits_BV, config.top_n_sigma)
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

    This takes one random number per row, where torch.multinomial takes one per token: 3 ms for a vocabulary of 150,000. Sums
    are in float64, on the CPU, since not every GPU has it: float32 rounding errors are larger than the probabilities of rare
    tokens. So a seed draws the same tokens on every device.

    Raises:
        UserError: the probabilities are not finite, because settings have made the logits overflow.
    """
    cumulative_BV = probs_BV.cpu().double().cumsum(dim=-1)
    if not bool(cumulative_BV[:, -1].isfinite().all()):
        raise UserError(
            "the logits overflow: set repetition_penalty and temperature nearer to 1, and logit_bias nearer to 0"
        )
    point_B1 = torch.rand(len(probs_BV), 1, dtype=torch.float64, generator=generator)
    # right=True: the first sum above the point, which is never that of a token with probability zero
    ids_B1 = torch.searchsorted(cumulative_BV, point_B1 * cumulative_BV[:, -1:], right=True)
    return ids_B1.squeeze(1).to(probs_BV.device)


def log_probabilities(logits_BV: Tensor, ids_B: Tensor) -> Tensor:
    """The model's own log-probability of each row's token, (B,), before bias, penalties, temperature and filters."""
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


def rule_out(logits_BV: Tensor, mask_BV: Tensor) -> Tensor:
    """Rule out the tokens of the mask, except in a row where no other is left (a grammar may allow only the end token)."""
    ruled_BV = logits_BV.masked_fill(mask_BV, -torch.inf)
    return torch.where(ruled_BV.isneginf().all(dim=-1, keepdim=True), logits_BV, ruled_BV)


def _mask_of(logits_BV: Tensor, token_ids: Collection[int]) -> Tensor:
    """True for these tokens, (1, V); ids outside the vocabulary are left out, as in transformers."""
    vocab_size = logits_BV.shape[1]
    mask_1V = torch.zeros(1, vocab_size, dtype=torch.bool, device=logits_BV.device)
    ids = torch.tensor([i for i in token_ids if 0 <= i < vocab_size], dtype=torch.int64, device=logits_BV.device)
    return mask_1V.index_fill_(1, ids, True)


def find_repeated(logits_BV: Tensor, tokens_BT: Tensor, size: int) -> Tensor:
    """True for the tokens that would repeat a sequence of `size` tokens, (B, V)."""
    mask_BV = torch.zeros_like(logits_BV, dtype=torch.bool)
    begin = tokens_BT.shape[1] - size + 1  # of the last size - 1 tokens
    if begin <= 0:
        return mask_BV
    matches_BW = torch.ones_like(tokens_BT[:, :begin], dtype=torch.bool)  # by where the earlier sequence begins
    for offset in range(size - 1):
        matches_BW &= tokens_BT[:, offset : offset + begin] == tokens_BT[:, begin + offset, None]
        if not bool(matches_BW.any()):
            return mask_BV
    rows, starts = matches_BW.nonzero(as_tuple=True)
    mask_BV[rows, tokens_BT[rows, starts + size - 1]] = True
    return mask_BV


def penalize_repetition(logits_BV: Tensor, tokens_BT: Tensor, penalty: float) -> Tensor:
    """Divide the logits of tokens that have occurred by `penalty`, or multiply where they are negative.

    CTRL (arXiv 1909.05858, section 4.1) divides in both cases, which rewards negative logits; transformers multiplies too.
    """
    seen_BT = logits_BV.gather(1, tokens_BT)
    return logits_BV.scatter(1, tokens_BT, torch.where(seen_BT < 0, seen_BT * penalty, seen_BT / penalty))


def penalize_counts(logits_BV: Tensor, generated_BN: Tensor, presence: float, frequency: float) -> Tensor:
    """logit - count * frequency - (count > 0) * presence, with the count of each token in the continuation."""
    ones_BN = torch.ones_like(generated_BN, dtype=logits_BV.dtype)
    counts_BV = torch.zeros_like(logits_BV).scatter_add_(1, generated_BN, ones_BN)
    return logits_BV - counts_BV * frequency - (counts_BV > 0) * presence


def keep_top_n_sigma(logits_BV: Tensor, n: float) -> Tensor:
    """Rule out tokens whose logit is more than `n` standard deviations below the largest (arXiv 2411.07641).

    As in llama.cpp, tokens that are ruled out already do not count, and the variance is divided by the number of tokens.
    """
    excluded_BV = logits_BV.isneginf()
    count_B1 = (~excluded_BV).sum(dim=-1, keepdim=True)
    mean_B1 = logits_BV.masked_fill(excluded_BV, 0).sum(dim=-1, keepdim=True) / count_B1
    variance_B1 = (logits_BV - mean_B1).masked_fill(excluded_BV, 0).square().sum(dim=-1, keepdim=True) / count_B1
    threshold_B1 = logits_BV.amax(dim=-1, keepdim=True) - n * variance_B1.sqrt()
    return logits_BV.masked_fill(logits_BV < threshold_B1, -torch.inf)


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """Rule out all but the `k` largest logits; ties with the k-th are kept."""
    threshold_B1 = logits_BV.topk(min(k, logits_BV.shape[-1])).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < threshold_B1, -torch.inf)


def keep_top_p(logits_BV: Tensor, p: float) -> Tensor:
    """Rule out all but the nucleus: the smallest set of tokens whose probabilities add up to at least `p`."""
    probs_BV = logits_BV.softmax(dim=-1)
    top, ids = probs_BV.topk(min(TOP_P_CANDIDATES, probs_BV.shape[-1]))
    if top.shape[-1] < probs_BV.shape[-1] and bool((top.sum(dim=-1) < p).any()):
        top, ids = probs_BV.sort(dim=-1, descending=True)
    before = top.cumsum(dim=-1) - top  # the sum over all more likely tokens
    before[:, 0] = 0  # rounding must not rule out the most likely token
    kept = logits_BV.gather(1, ids).masked_fill(before >= p, -torch.inf)
    return torch.full_like(logits_BV, -torch.inf).scatter(1, ids, kept)


def keep_min_p(logits_BV: Tensor, share: float) -> Tensor:
    """Rule out tokens less than `share` times as likely as the most likely one."""
    probs_BV = logits_BV.softmax(dim=-1)
    return logits_BV.masked_fill(probs_BV < share * probs_BV.amax(dim=-1, keepdim=True), -torch.inf)
