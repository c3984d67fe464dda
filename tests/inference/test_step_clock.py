"""The time of a step, divided among its sequences."""

from types import SimpleNamespace
from typing import Any

import torch

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request
from lmcraft.inference.step_clock import StepClock, busy_clock
from tests.inference.helpers import tiny_model


def sequence() -> Any:
    return SimpleNamespace(work_seconds=0.0, work_tokens=0)


def test_each_part_is_divided_by_tokens() -> None:
    times = iter([10.0, 14.0, 20.0])
    clock, first, second = StepClock(lambda: next(times)), sequence(), sequence()
    clock.end_part([(first, 3), (second, 1)])
    assert (first.work_seconds, second.work_seconds, first.work_tokens) == (3.0, 1.0, 3)
    assert clock.end_part([]) == 0  # a step without prompts, say
    assert clock.end_part([(second, 5)]) >= 0 and clock.seconds >= 0
    assert (first.work_seconds, second.work_seconds, second.work_tokens) == (3.0, 7.0, 6)


def test_a_processor_is_busy_in_all_threads_and_a_gpu_by_the_clock() -> None:
    assert busy_clock(torch.device("cpu")).__name__ == "process_time"
    assert busy_clock(torch.device("cuda")).__name__ == "perf_counter"


def test_the_engine_counts_the_tokens_of_each_sequence() -> None:
    engine = Engine(tiny_model(), tier="eager", prompt_lookup=False)
    requests = [Request(prompt_ids=tuple(range(1, n + 1)), config=GenerationConfig(max_new_tokens=4)) for n in (3, 9)]
    sequences = engine.run(requests)
    assert [s.work_tokens for s in sequences] == [3 + 3, 9 + 3]  # the last token is not computed
    assert all(s.work_seconds > 0 for s in sequences)
