"""Speeds measured in turns."""

import pytest

from lmcraft.evaluation import speed
from lmcraft.evaluation.speed import measure_speeds
from lmcraft.inference.engine import Engine
from lmcraft.inference.request import Request, SequenceState
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model


def model_of(**settings: int) -> LanguageModel:
    tokenizer = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    return LanguageModel(tiny_model(**settings), tokenizer)


def test_models_are_measured_in_turns_and_compute_every_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"long": model_of(max_position_embeddings=256), "short": model_of(max_position_embeddings=8)}
    names = {id(model.engine): name for name, model in models.items()}
    submitted: list[tuple[str, SequenceState]] = []
    submit = Engine.submit

    def record(engine: Engine, request: Request) -> SequenceState:
        submitted.append((names[id(engine)], submit(engine, request)))
        return submitted[-1][1]

    monkeypatch.setattr(Engine, "submit", record)
    speeds = measure_speeds(models, "the quick brown fox")
    assert [name for name, _ in submitted] == ["long", "short"] * (1 + speed.ROUNDS)
    assert all(sequence.num_cached == 0 for _, sequence in submitted)
    for measured in speeds.values():
        for rate in (measured.prefill, measured.decode):
            assert 0 < rate.low <= rate.value <= rate.high
        assert 0 < measured.energy.low <= measured.energy.joules <= measured.energy.high and measured.energy.method
    assert [sequence.prompt_length for _, sequence in submitted[:2]] == [128, 4]


def test_a_slow_model_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MAX_DECODE_SECONDS", 0.0)
    model = model_of(max_position_embeddings=256)
    assert measure_speeds({"a": model}, "the")["a"].decode.value == 0
    assert not model.engine.scheduler.running
