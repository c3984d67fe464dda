"""The DRY ("don't repeat yourself") repetition penalty, with the parameters and semantics of llama.cpp.

A token that would extend a repetition is penalized: if the last n tokens of the text have occurred before, and were followed
by token t, the logit of t loses dry_multiplier * dry_base ** (n - dry_allowed_length), for n of at least dry_allowed_length.
Repetitions do not reach across sequence breakers, and tokens that contain a breaker are never penalized.

Source: github.com/oobabooga/text-generation-webui, pull request 5677; matching by the Z-algorithm as in llama.cpp.

Shapes: B rows, V vocabulary, T tokens of a row so far, W of them searched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.tokenizer.tokenizer import Tokenizer

MAX_EXPONENT = 88.0  # e ** 88.7 is the largest float32
MAX_BREAKER_TAIL_TOKENS = 20
MAX_DIRECT_MATCH_TOKENS = 32  # compared one by one, before the Z-algorithm

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceBreakers:
    """The token sequences that contain a breaker text: by their first token, the tokens that may follow it.

    An empty tail means that the first token contains the whole text.
    """

    tails: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    def contains_whole(self, token_id: int) -> bool:
        """Whether a token contains a breaker by itself."""
        return () in self.tails.get(token_id, ())

    def tokens_after_last(self, tokens: Sequence[int]) -> int:
        """How many tokens follow the last breaker; all of them if there is none."""
        count = len(tokens)
        if not self.tails:
            return count
        for start in range(count - 1, -1, -1):
            tails = self.tails.get(tokens[start])
            if tails is None:
                continue
            matches = [len(tail) for tail in tails if tuple(tokens[start + 1 : start + 1 + len(tail)]) == tail]
            if matches:
                return count - start - 1 - max(matches)
        return count


@lru_cache(maxsize=16)
def find_breakers(tokenizer: Tokenizer, texts: tuple[str, ...]) -> SequenceBreakers:
    """The tokens and token sequences of a vocabulary that contain one of the texts."""
    tails: dict[int, set[tuple[int, ...]]] = {}
    breakers = [text.encode() for text in texts]
    encoded_tails = {
        breaker: [tuple(tokenizer.encode(breaker[length:])[:MAX_BREAKER_TAIL_TOKENS]) for length in range(len(breaker))]
        for breaker in breakers
    }
    first_bytes = {breaker[0] for breaker in breakers}
    for token_id in range(tokenizer.vocab_size):
        token = tokenizer.token_bytes(token_id)
        if first_bytes.isdisjoint(token):  # true of nearly all tokens
            continue
        for breaker in breakers:
            if breaker in token:
                tails.setdefault(token_id, set()).add(())
            elif breaker[:1] in token:
                for length in range(1, min(len(token), len(breaker) - 1) + 1):
                    if token.endswith(breaker[:length]):
                        tails.setdefault(token_id, set()).add(encoded_tails[breaker][length])
    return SequenceBreakers({token_id: tuple(sorted(group)) for token_id, group in tails.items()})


def penalize_dry(logits_BV: Tensor, tokens_BT: Tensor, config: GenerationConfig, breakers: SequenceBreakers) -> Tensor:
    """Logits after the DRY penalty, (B, V). The cost is linear in the number of tokens searched."""
    penalized_BV = logits_BV.clone()
    for logits_V, tokens_T in zip(penalized_BV, tokens_BT, strict=True):
        count = len(tokens_T)
        window = count if config.dry_penalty_last_n < 0 else min(config.dry_penalty_last_n, count)
        penalties = dry_penalties(tokens_T[count - window :].cpu().numpy(), config, breakers)
        if penalties:
            ids = torch.tensor(list(penalties), device=logits_V.device)
            logits_V[ids] -= torch.tensor(list(penalties.values()), dtype=logits_V.dtype, device=logits_V.device)
    return penalized_BV


def dry_penalties(tokens_W: Ids, config: GenerationConfig, breakers: SequenceBreakers) -> dict[int, float]:
    """The penalty of each token that would extend a repetition, by token id."""
    shortest = config.dry_allowed_length
    if len(tokens_W) <= shortest:
        return {}
    max_length = breakers.tokens_after_last(tokens_W.tolist())
    if max_length < shortest:
        return {}
    ends, lengths = repetitions(tokens_W)
    longest: dict[int, int] = {}
    for end, length in zip(ends.tolist(), np.minimum(lengths, max_length).tolist(), strict=True):
        token_id = int(tokens_W[end + 1])
        if length >= shortest and not breakers.contains_whole(token_id):
            longest[token_id] = max(length, longest.get(token_id, 0))
    max_exponent = MAX_EXPONENT / log(config.dry_base) if config.dry_base > 1.000001 else float("inf")
    return {
        token_id: config.dry_multiplier * config.dry_base ** min(length - shortest, max_exponent)
        for token_id, length in longest.items()
    }


def repetitions(tokens_W: Ids) -> tuple[Ids, Ids]:
    """The positions before the last one where the last token occurs, and the length of each match with the text's end."""
    last = len(tokens_W) - 1
    ends = np.flatnonzero(tokens_W[:last] == tokens_W[last])
    lengths = np.ones_like(ends)
    open_matches = np.arange(len(ends))
    for length in range(1, MAX_DIRECT_MATCH_TOKENS):
        open_matches = open_matches[ends[open_matches] >= length]
        open_matches = open_matches[tokens_W[ends[open_matches] - length] == tokens_W[last - length]]
        if not len(open_matches):
            return ends, lengths
        lengths[open_matches] += 1
    backwards = z_function(tokens_W[::-1].tolist())
    return ends, np.array([backwards[last - end] for end in ends.tolist()], dtype=ends.dtype)


def z_function(sequence: Sequence[int]) -> list[int]:
    """For each position, the length of the longest common prefix of the sequence and its suffix from there. Linear time."""
    lengths = [len(sequence)] + [0] * (len(sequence) - 1)
    left = right = 0  # the match that reaches furthest to the right is sequence[left:right]
    for start in range(1, len(sequence)):
        length = min(lengths[start - left], right - start) if start < right else 0
        while start + length < len(sequence) and sequence[length] == sequence[start + length]:
            length += 1
        lengths[start] = length
        if start + length > right:
            left, right = start, start + length
    return lengths
