"""How fast models read and write, and what that draws, measured in turns: what else the machine does slows all alike."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmcraft.energy.energy import NO_ENERGY, Energy
from lmcraft.energy.meter import open_meter
from lmcraft.evaluation.compared import Rate, Speed, TokenEnergy
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
    measured: dict[str, list[_Measurement]] = {name: [] for name in models}
    for number in range(1 + ROUNDS):
        for n, (name, model) in enumerate(models.items()):
            report(number * len(models) + n, (1 + ROUNDS) * len(models))
            measurement = _measure(model, prompts[name], f"round {number}")
            if number:
                measured[name].append(measurement)
    return {name: _summarize(measurements) for name, measurements in measured.items()}


@dataclass(frozen=True)
class _Measurement:
    """One request."""

    prefill: float
    """Tokens per second."""
    decode: float
    tokens: int
    """That were written, after the first one."""
    energy: Energy
    """Of writing them."""


def _summarize(measurements: Sequence[_Measurement]) -> Speed:
    energy = sum((m.energy for m in measurements), NO_ENERGY).scaled(1 / max(1, sum(m.tokens for m in measurements)))
    return Speed(
        Rate.of([m.prefill for m in measurements]),
        Rate.of([m.decode for m in measurements]),
        TokenEnergy(energy.joules, energy.low, energy.high, energy.method),
    )


def _prompt(model: LanguageModel, text: str) -> tuple[int, ...]:
    """As many tokens of the text, repeated if it is short, as the measurement needs and the model has room for."""
    ids = encode_prompt(model.tokenizer, text)
    size = min(PREFILL_TOKENS, max(1, model.transformer.config.max_position_embeddings // 2))
    return tuple((ids * (size // len(ids) + 1))[:size])


def _measure(model: LanguageModel, ids: tuple[int, ...], owner: str) -> _Measurement:
    """Read and write once. Prefixes are not shared between owners, so every prompt is computed."""
    room = model.transformer.config.max_position_embeddings - len(ids)
    config = GenerationConfig(do_sample=False, max_new_tokens=max(1, min(DECODED_TOKENS, room)))
    engine, meter = model.engine, open_meter()
    start = time.perf_counter()
    sequence = engine.submit(Request(prompt_ids=ids, config=config, owner=owner))
    while not sequence.generated and sequence.error is None:
        engine.step()
    begin, middle = meter.read(), time.perf_counter()
    end = middle
    while not sequence.finished and end - middle < MAX_DECODE_SECONDS:
        engine.step()
        end = time.perf_counter()
    energy = meter.energy(begin)
    if sequence.error is not None:
        raise sequence.error
    sequence.cancelled = True
    engine.step()
    seconds, count = end - middle, len(sequence.generated) - 1
    return _Measurement(len(ids) / (middle - start), count / seconds if seconds else 0.0, count, energy)
