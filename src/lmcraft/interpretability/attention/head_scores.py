"""Which heads copy: their attention on random tokens that are repeated, and what the repetition tells the model.

Random tokens have no meaning, so the second time around only a model that looks up what followed the first time can
predict them (arXiv 2209.11895, "prefix matching").

Shapes: B sequences, T tokens, V vocabulary, L layers, H heads of a layer.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.attention.patterns import AttentionWeights, record_weights
from lmcraft.interpretability.interventions import Intervention
from lmcraft.language_model import LanguageModel
from lmcraft.model.hooks import Hooks
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer

SEQUENCES, MAX_HALF = 8, 50
MIN_HALF = 4


@dataclass(frozen=True)
class RepeatedTokens:
    """Random tokens, each sequence twice in a row, after a token that begins a text."""

    input_ids: Tensor
    """(B, T): the first token if the model has one for it, then two equal halves."""
    half: int
    """Tokens of each half, all different."""

    @property
    def start(self) -> int:
        """The position of the first token of the first half."""
        return self.input_ids.shape[1] - 2 * self.half


@dataclass(frozen=True)
class HeadScores:
    """Mean attention weights of each head on repeated tokens, (L, H); 0 in layers without attention."""

    induction: Tensor
    """To the token after the earlier occurrence of the same one."""
    previous_token: Tensor
    """To the token before."""
    duplicate_token: Tensor
    """To the earlier occurrence of the same token."""


def repeat_tokens(
    tokenizer: Tokenizer, transformer: Transformer, *, sequences: int = SEQUENCES, seed: int = 0
) -> RepeatedTokens:
    """Draw sequences of random tokens that are not special.

    Raises:
        UserError: the context or the vocabulary is too small for tokens that repeat.
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    special = set(tokenizer.special_tokens.values())
    candidates = [token for token in range(tokenizer.vocab_size) if token not in special]
    begin = [] if first is None else [first]
    half = min(MAX_HALF, len(candidates) // 2, (transformer.config.max_position_embeddings - len(begin)) // 2)
    if half < MIN_HALF:
        raise UserError(
            f"a context of {transformer.config.max_position_embeddings} tokens and a vocabulary of {len(candidates)} are "
            f"too small to find induction heads: choose a model with at least {2 * MIN_HALF + 1} of each"
        )
    draw = random.Random(seed)
    rows = [begin + 2 * draw.sample(candidates, half) for _ in range(sequences)]
    return RepeatedTokens(torch.tensor(rows, device=transformer.device), half)


def score_heads(model: LanguageModel, *, seed: int = 0) -> HeadScores:
    """How much of an induction, previous-token and duplicate-token head each head is.

    Raises:
        UserError: the context or the vocabulary is too small.
    """
    return measure_scores(model.transformer, repeat_tokens(model.tokenizer, model.transformer, seed=seed))


@torch.no_grad()
def measure_scores(transformer: Transformer, tokens: RepeatedTokens, hooks: Intervention | None = None) -> HeadScores:
    """The scores on the given tokens, while `hooks` change the model."""
    T, half, start = tokens.input_ids.shape[1], tokens.half, tokens.start
    second = torch.arange(start + half, T)
    later = torch.arange(1, T)
    config = transformer.config
    scores = [torch.zeros(config.num_hidden_layers, config.num_attention_heads) for _ in range(3)]

    def keep(layer: int, weights: AttentionWeights) -> None:
        weights_HTS = weights.weights(0, T).mean(0)
        targets = ((second, second - half + 1), (later, later - 1), (second, second - half))
        for values, (queries, keys) in zip(scores, targets, strict=True):
            values[layer] = weights_HTS[:, queries, keys].mean(-1).cpu()

    record_weights(transformer, tokens.input_ids, keep, hooks=hooks)
    return HeadScores(*scores)


@torch.no_grad()
def measure_repetition_gain(transformer: Transformer, tokens: RepeatedTokens, hooks: Intervention | None = None) -> float:
    """How much better a token is predicted the second time, while `hooks` change the model, in nats per token.

    The first token of each half is left out: nothing tells that it follows.
    """
    logits_BTV = transformer(tokens.input_ids, hooks=Hooks(transformer.config, hooks or []))
    log_probs = logits_BTV[:, :-1].float().log_softmax(-1)
    losses_BT = -log_probs.gather(-1, tokens.input_ids[:, 1:, None])[..., 0]  # of the token at 1, 2, ...
    first = losses_BT[:, tokens.start : tokens.start + tokens.half - 1]
    second = losses_BT[:, tokens.start + tokens.half :]
    return float(first.mean() - second.mean())
