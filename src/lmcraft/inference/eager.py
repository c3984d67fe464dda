"""Continue a prompt: `Sequences` gives logits, the sampler or the beam search chooses tokens, `Row` says when to end.

Shapes: B continuations that still run, V vocabulary.
"""

from collections.abc import Collection, Iterator, Sequence

import torch

from lmcraft.errors import UserError
from lmcraft.inference.beam_search import beam_search
from lmcraft.inference.continuation import Row, Token, room_for
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import structure_of
from lmcraft.inference.sampler import Sampler, log_probabilities
from lmcraft.inference.sequence_batch import Sequences
from lmcraft.inference.text_stream import TextStream
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer


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
    room = room_for(model.config.max_position_embeddings, len(prompt_ids), config)
    if config.stop and tokenizer is None:
        raise UserError(f"stop={config.stop!r} needs a tokenizer: give one, or leave stop out")
    if outside := [i for i in prompt_ids if not 0 <= i < model.config.vocab_size]:
        raise UserError(f"the prompt has token {outside[0]}, but the model's are 0 to {model.config.vocab_size - 1}")
    sampler = Sampler(config, vocab_size=model.config.vocab_size, tokenizer=tokenizer)
    if name := structure_of(config)[0]:
        raise UserError(f"{name} is not for beam search: leave it out, or set num_beams=1")
    rows = [
        Row(row, room, eos_token_ids, TextStream(tokenizer, config.stop) if tokenizer else None)
        for row in range(config.num_return_sequences)
    ]
    if config.num_beams == 1:
        return _sample(Sequences(model, prompt_ids, len(rows), use_cache=use_cache), sampler, rows)
    return _search(Sequences(model, prompt_ids, 1, use_cache=use_cache), sampler, rows, room, eos_token_ids)


@torch.inference_mode()
def _sample(sequences: Sequences, sampler: Sampler, rows: list[Row]) -> Iterator[Token]:
    generator = None
    if sampler.config.seed is not None:
        generator = torch.Generator(sequences.tokens_BT.device).manual_seed(sampler.config.seed)
    while True:
        logits_BV = sequences.next_logits()
        ids_B = sampler.next_tokens(
            logits_BV, sequences.tokens_BT, prompt_length=sequences.prompt_length, generator=generator
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
    sequences: Sequences, sampler: Sampler, rows: list[Row], room: int, eos_token_ids: Collection[int]
) -> Iterator[Token]:
    found = beam_search(sequences, sampler, room=room, eos_token_ids=eos_token_ids)
    for row, candidate in zip(rows, found, strict=False):
        for step in zip(candidate.ids, candidate.logprobs, strict=True):
            token = row.accept(*step)
            yield token
            if token.finish_reason is not None:  # a stop string comes before the end that the search found
                break
