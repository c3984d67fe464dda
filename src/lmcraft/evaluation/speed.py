"""How fast models read and write, measured in turns, so that whatever else the machine does slows all of them alike."""

import time
from collections.abc import Mapping

from lmcraft.evaluation.compared import Rate, Speed
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.prompt import encode_prompt
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.terminal import ReportProgress

ROUNDS = 3
PREFILL_TOKENS = 256
DECODED_TOKENS = 64
MAX_DECODE_SECONDS = 2.0  # per measurement


def measure_speeds(
    models: Mapping[str, LanguageModel], text: str, report: ReportProgress = lambda done, total: None
) -> dict[str, Speed]:
    """Let each model read the beginning of a text and continue it, in turns; a first round is not counted.

    Args:
        models: by name.
        text: any text that is not empty.
        report: called with the number of measurements done, and their total.
    """
    prompts = {name: _prompt(model, text) for name, model in models.items()}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for number in range(1 + ROUNDS):
        for n, (name, model) in enumerate(models.items()):
            report(number * len(models) + n, (1 + ROUNDS) * len(models))
            rates = _measure(model, prompts[name], f"round {number}")
            if number:
                measured[name].append(rates)
    return {
        name: Speed(Rate.of([prefill for prefill, _ in rates]), Rate.of([decode for _, decode in rates]))
        for name, rates in measured.items()
    }


def _prompt(model: LanguageModel, text: str) -> tuple[int, ...]:
    """As many tokens of the text, repeated if it is short, as the measurement needs and the model has room for."""
    ids = encode_prompt(model.tokenizer, text)
    size = min(PREFILL_TOKENS, max(1, model.transformer.config.max_position_embeddings // 2))
    return tuple((ids * (size // len(ids) + 1))[:size])


def _measure(model: LanguageModel, ids: tuple[int, ...], owner: str) -> tuple[float, float]:
    """Tokens per second of prefill and decode. Prefixes are not shared between owners, so every prompt is computed."""
    room = model.transformer.config.max_position_embeddings - len(ids)
    config = GenerationConfig(do_sample=False, max_new_tokens=max(1, min(DECODED_TOKENS, room)))
    engine = model.engine
    start = time.perf_counter()
    sequence = engine.submit(Request(prompt_ids=ids, config=config, owner=owner))
    while not sequence.generated and sequence.error is None:
        engine.step()
    middle = end = time.perf_counter()
    while not sequence.finished and end - middle < MAX_DECODE_SECONDS:
        engine.step()
        end = time.perf_counter()
    if sequence.error is not None:
        raise sequence.error
    sequence.cancelled = True
    engine.step()
    seconds, count = end - middle, len(sequence.generated) - 1
    return len(ids) / (middle - start), count / seconds if seconds else 0.0
