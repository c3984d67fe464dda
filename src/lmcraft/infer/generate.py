"""Continue a prompt: `Sequences` gives logits, the sampler or the beam search chooses tokens, `Row` says when to end.

Shapes: B continuations that still run, V vocabulary.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from lmcraft.errors import UserError
from lmcraft.infer.beam import beam_search
from lmcraft.infer.config import GenerationConfig
from lmcraft.infer.sampler import check_bias, log_probabilities, next_tokens
from lmcraft.infer.sequences import Sequences
from lmcraft.infer.text import TextStream
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Token:
    """One step of one continuation."""

    row: int
    """Which of `num_return_sequences`."""
    id: int
    logprob: float
    """The model's own log-probability of it; under beam search, with the penalties."""
    text: str
    """The text that it makes certain; "" without a tokenizer."""
    finish_reason: FinishReason | None
    """Set on the last token: an end token or a stop string, or a limit."""


class Row:
    """One continuation as it grows: decides what each token says and whether it is the last."""

    def __init__(self, row: int, room: int, eos_token_ids: Collection[int], text: TextStream | None) -> None:
        self.row = row
        self._room = room
        self._eos_token_ids = eos_token_ids
        self._text = text

    def accept(self, token_id: int, logprob: float) -> Token:
        """Take the next token."""
        self._room -= 1
        text = ""
        reason: FinishReason | None = None
        if token_id in self._eos_token_ids:
            reason = "stop"
        elif self._text is not None:
            text = self._text.put(token_id)
        if reason is None and self._room == 0:
            reason = "length"
        if self._text is not None:
            text += self._text.end() if reason else ""
            reason = "stop" if self._text.stopped else reason
        return Token(self.row, token_id, logprob, text, reason)


def generate(
    model: Transformer,
    prompt_ids: Sequence[int],
    config: GenerationConfig,
    *,
    eos_token_ids: Collection[int] = (),
    tokenizer: Tokenizer | None = None,
    use_cache: bool = True,
) -> Iterator[Token]:
    """The tokens of the continuations as they are found; those of `num_return_sequences` take turns.

    Under beam search the tokens come when the search is over, the best continuation first.

    Args:
        model: in `eval` mode.
        prompt_ids: at least one token.
        config: what `check` accepts.
        eos_token_ids: tokens that end a continuation; the one that does is its last.
        tokenizer: fills in `Token.text`; needed for `config.stop`.
        use_cache: False computes every token's keys and values again at each step: slow, for comparison.

    Raises:
        UserError: the prompt is empty, too long or of another vocabulary; stop strings without a tokenizer.
    """
    room = room_for(model, len(prompt_ids), config)
    if config.stop and tokenizer is None:
        raise UserError(f"stop={config.stop!r} needs a tokenizer: give one, or leave stop out")
    if outside := [i for i in prompt_ids if not 0 <= i < model.config.vocab_size]:
        raise UserError(f"the prompt has token {outside[0]}, but the model's are 0 to {model.config.vocab_size - 1}")
    check_bias(config.logit_bias, model.config.vocab_size)
    rows = [
        Row(row, room, eos_token_ids, TextStream(tokenizer, config.stop) if tokenizer else None)
        for row in range(config.num_return_sequences)
    ]
    if config.num_beams == 1:
        return _sample(Sequences(model, prompt_ids, len(rows), use_cache=use_cache), config, rows)
    return _search(Sequences(model, prompt_ids, 1, use_cache=use_cache), config, rows, room, eos_token_ids)


def room_for(model: Transformer, prompt_length: int, config: GenerationConfig) -> int:
    """How many tokens may follow the prompt: the least of max_new_tokens, max_length and the model's context.

    Raises:
        UserError: the prompt is empty, or leaves no room.
    """
    context = model.config.max_position_embeddings
    if prompt_length == 0:
        raise UserError("the prompt has no tokens: give at least one (the token that begins a text will do)")
    if prompt_length >= context:
        raise UserError(
            f"the prompt has {prompt_length} tokens, which leaves no room in the model's context "
            f"(max_position_embeddings={context}): shorten it"
        )
    if 0 < config.max_length <= prompt_length:
        raise UserError(
            f"max_length={config.max_length} counts the prompt, which has {prompt_length} tokens: raise it, "
            "or set max_new_tokens"
        )
    rooms = [context - prompt_length, config.max_new_tokens, config.max_length and config.max_length - prompt_length]
    return min(room for room in rooms if room > 0)


@torch.inference_mode()
def _sample(sequences: Sequences, config: GenerationConfig, rows: list[Row]) -> Iterator[Token]:
    generator = None
    if config.seed is not None:
        generator = torch.Generator(sequences.tokens_BT.device).manual_seed(config.seed)
    while True:
        logits_BV = sequences.next_logits()
        ids_B = next_tokens(
            logits_BV, sequences.tokens_BT, config, prompt_length=sequences.prompt_length, generator=generator
        )
        ids, logprobs = ids_B.tolist(), log_probabilities(logits_BV, ids_B).tolist()
        tokens = [row.accept(*step) for row, *step in zip(rows, ids, logprobs, strict=True)]
        yield from tokens
        going = [n for n, token in enumerate(tokens) if token.finish_reason is None]
        if not going:
            return
        rows = [rows[n] for n in going]
        sequences.extend(going, [ids[n] for n in going])


@torch.inference_mode()
def _search(
    sequences: Sequences, config: GenerationConfig, rows: list[Row], room: int, eos_token_ids: Collection[int]
) -> Iterator[Token]:
    found = beam_search(sequences, config, room=room, eos_token_ids=eos_token_ids)
    for row, candidate in zip(rows, found, strict=False):
        for step in zip(candidate.ids, candidate.logprobs, strict=True):
            token = row.accept(*step)
            yield token
            if token.finish_reason is not None:  # a stop string comes before the end that the search found
                break
