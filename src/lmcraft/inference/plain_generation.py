"""Continue one prompt in plain PyTorch, without an engine: all samples in one batch, or a beam search.

Shapes: B continuations that still run, V vocabulary.
"""

from collections.abc import Collection, Iterator, Sequence

import torch

from lmcraft.errors import UserError
from lmcraft.inference.beam_search import beam_search
from lmcraft.inference.continuation import Continuation, Token
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import structured_output
from lmcraft.inference.prompt import check_prompt
from lmcraft.inference.sampler import LogitsProcessor, Sampler, log_probabilities
from lmcraft.inference.sequence_batch import SequenceBatch
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
    logits_processor: Sequence[LogitsProcessor] = (),
) -> Iterator[Token]:
    """The tokens of the `num_return_sequences` continuations as they are generated, one of each in turn.

    In beam search the tokens come after the search, the best continuation first.

    Args:
        model: in `eval` mode.
        prompt_ids: at least one token.
        config: valid by its `check`.
        eos_token_ids: tokens that end a continuation, and are its last token.
        tokenizer: fills in `Token.text`; needed for `config.stop`.
        logits_processor: called in order after the penalties.

    Raises:
        UserError: the prompt is empty, too long or outside the vocabulary; stop strings without a tokenizer; structured
            output, which needs the engine.
    """
    max_new_tokens = check_prompt(
        prompt_ids,
        config,
        vocab_size=model.config.vocab_size,
        context_length=model.config.max_position_embeddings,
        tokenizer=tokenizer,
    )
    sampler = Sampler(
        config,
        vocab_size=model.config.vocab_size,
        eos_token_ids=eos_token_ids,
        tokenizer=tokenizer,
        logits_processor=logits_processor,
    )
    if name := structured_output(config)[0]:
        raise UserError(f"{name} is not supported in beam search: leave it out, or set num_beams=1")
    continuations = [
        Continuation(row, max_new_tokens, eos_token_ids, TextStream(tokenizer, config.stop) if tokenizer else None)
        for row in range(config.num_return_sequences)
    ]
    if config.num_beams == 1:
        return _sample(SequenceBatch(model, prompt_ids, len(continuations)), sampler, continuations)
    return _search(SequenceBatch(model, prompt_ids, 1), sampler, continuations, max_new_tokens, eos_token_ids)


@torch.inference_mode()
def _sample(sequences: SequenceBatch, sampler: Sampler, continuations: list[Continuation]) -> Iterator[Token]:
    generator = None
    if sampler.config.seed is not None:
        generator = torch.Generator().manual_seed(sampler.config.seed)
    while True:
        logits_BV = sequences.next_logits()
        ids_B = sampler.next_tokens(
            logits_BV, sequences.tokens_BT, prompt_length=sequences.prompt_length, generator=generator
        )
        ids, logprobs = ids_B.tolist(), log_probabilities(logits_BV, ids_B).tolist()
        tokens = [continuation.append(*step) for continuation, *step in zip(continuations, ids, logprobs, strict=True)]
        yield from tokens
        unfinished = [n for n, token in enumerate(tokens) if token.finish_reason is None]
        if not unfinished:
            return
        continuations = [continuations[n] for n in unfinished]
        sequences.extend(unfinished, [ids[n] for n in unfinished])


@torch.inference_mode()
def _search(
    sequences: SequenceBatch,
    sampler: Sampler,
    continuations: list[Continuation],
    max_new_tokens: int,
    eos_token_ids: Collection[int],
) -> Iterator[Token]:
    candidates = beam_search(sequences, sampler, max_new_tokens=max_new_tokens, eos_token_ids=eos_token_ids)
    for continuation, candidate in zip(continuations, candidates, strict=False):
        for step in zip(candidate.ids, candidate.logprobs, strict=True):
            token = continuation.append(*step)
            yield token
            if token.finish_reason is not None:  # a stop string may end the text before the candidate's end
                break
