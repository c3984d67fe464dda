"""The engine interface that a worker uses."""

import pytest

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request
from lmcraft.server.engine.interface import CallOnlyEngine, ServingEngine
from tests.tiny import tiny_model

CONFIG = GenerationConfig(max_new_tokens=3, do_sample=False)


def test_the_inference_engine_is_a_serving_engine() -> None:
    inference_engine = Engine(tiny_model(), tier="eager")
    engine: ServingEngine = inference_engine
    assert engine.context_length == 64 and not engine.has_work and engine.cache_usage == 0
    state = inference_engine.prepare(Request(prompt_ids=(1, 2, 3), config=CONFIG))
    engine.enqueue(state)
    assert engine.has_work
    engine.step()
    assert 0 < engine.cache_usage < 1
    state.cancelled = True
    engine.step()
    assert not engine.has_work and engine.cache_usage == 0


def test_a_call_only_engine_generates_nothing() -> None:
    engine: ServingEngine = CallOnlyEngine(context_length=64)
    engine.step()
    assert engine.context_length == 64 and not engine.has_work and engine.cache_usage == 0
    with pytest.raises(TypeError, match="generates no text"):
        engine.enqueue(None)  # type: ignore[arg-type]
