"""Texts that a model writes: many samples of a prompt, many prompts at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from zlib import crc32

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.prompt import encode_prompt
from lmcraft.inference.request import Request, SequenceState
from lmcraft.language_model import LanguageModel

MAX_WAITING_SAMPLES = 256  # in the engine at once; further ones wait here


def sample_texts(
    model: LanguageModel, prompts: Sequence[Sequence[int]], config: GenerationConfig
) -> Iterator[tuple[int, list[str]]]:
    """Continue prompts of token ids.

    Each prompt has random numbers of its own, so that its samples do not depend on the other prompts.

    Args:
        model: the model.
        prompts: which `fits` the model.
        config: `num_return_sequences` samples are drawn, from `seed` on.

    Yields the number of a prompt and its continuations, without the prompt, as they end.

    Raises:
        UserError: a setting does not fit the model.
        RunError: the model's outputs are not numbers.
    """
    engine, waiting = model.engine, iter(enumerate(prompts))
    running: dict[int, list[SequenceState]] = {}
    try:
        while True:
            while sum(map(len, running.values())) < MAX_WAITING_SAMPLES and (entry := next(waiting, None)) is not None:
                number, ids = entry
                running[number] = [engine.submit(request) for request in _requests(model, ids, config)]
            if not running:
                return
            engine.step()
            for number in [n for n, sequences in running.items() if all(s.finished for s in sequences)]:
                yield number, [_text(sequence) for sequence in running.pop(number)]
    finally:
        for sequences in running.values():
            for sequence in sequences:
                sequence.cancelled = True


def fits(model: LanguageModel, ids: Sequence[int], max_new_tokens: int) -> bool:
    """Whether a prompt and its continuation fit into the model's context."""
    return len(ids) + max_new_tokens <= model.transformer.config.max_position_embeddings


def encode_plain(model: LanguageModel, prompt: str) -> list[int]:
    """The tokens of a text to continue, without a chat template."""
    return encode_prompt(model.tokenizer, prompt)


def _requests(model: LanguageModel, ids: Sequence[int], config: GenerationConfig) -> list[Request]:
    seed = crc32(" ".join(map(str, (config.seed, *ids))).encode())
    return [
        Request(
            prompt_ids=tuple(ids),
            config=replace(config, seed=seed),
            eos_token_ids=frozenset(model.eos_token_ids),
            tokenizer=model.tokenizer,
            row=row,
        )
        for row in range(config.num_return_sequences)
    ]


def _text(sequence: SequenceState) -> str:
    if sequence.error is not None:
        raise sequence.error
    return "".join(token.text for token in sequence.generated)
