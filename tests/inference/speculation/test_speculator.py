"""Speculation saves steps and changes no text; the number of proposals maximizes speed."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request
from lmcraft.inference.speculation.prompt_lookup import PromptLookupProposer
from lmcraft.inference.speculation.speculator import Speculator
from tests.inference.helpers import NATIVE_ONLY, network, prompt, request_of, sequence_of


@dataclass
class Verifier:
    """A step of n rows takes `seconds(n)`."""

    seconds: Callable[[int], float]

    def can_verify(self, adapter: str) -> bool:
        return adapter == ""

    def step_seconds(self, num_rows: int) -> float:
        return self.seconds(num_rows)


@NATIVE_ONLY
def test_prompt_lookup_saves_steps_and_keeps_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculator, "best_length", lambda speculator, request: 7)
    model = network()
    request = Request(prompt_ids=(prompt(12) * 6)[:70], config=GenerationConfig(do_sample=False, max_new_tokens=100))
    ids, num_steps = [], []
    for prompt_lookup in (False, True):
        engine = Engine(model, tier="native", prompt_lookup=prompt_lookup)
        running = engine.submit(request)
        count = 0
        while engine.has_work:
            engine.step()
            count += 1
        ids.append(running.tokens)
        num_steps.append(count)
    assert ids[0] == ids[1] and num_steps[1] < num_steps[0]


def test_the_number_of_proposals_maximizes_tokens_per_second() -> None:
    request = sequence_of(request_of(5, do_sample=False))

    def best_length(seconds: Callable[[int], float], num_rejected: int = 0) -> int:
        speculator = Speculator([PromptLookupProposer()], Verifier(seconds))
        for _ in range(num_rejected):
            request.acceptance.record(3, 0)
        return speculator.best_length(request)

    assert best_length(lambda rows: 1) == 15  # rows cost nothing
    assert best_length(lambda rows: rows) == 0  # a row costs as much as a step
    assert best_length(lambda rows: 1 + max(0, rows - 4)) == 3
    assert best_length(lambda rows: 0) == 15  # not measured yet
    assert best_length(lambda rows: 1 + rows / 4, num_rejected=20) == 0


def test_no_proposals_where_they_cannot_be_verified() -> None:
    speculator = Speculator([PromptLookupProposer()], Verifier(lambda rows: 1))
    request = sequence_of(request_of(5, do_sample=False))
    request.tokens += request.tokens
    assert speculator.propose(request, 2) == request.tokens[:2]
    sampled = sequence_of(request_of(5, do_sample=True))
    adapted = sequence_of(Request(prompt_ids=prompt(5), config=GenerationConfig(do_sample=False), adapter="another"))
    for other in (sampled, adapted):
        other.tokens += other.tokens
        assert speculator.propose(other, 2) == []
    assert Speculator([], Verifier(lambda rows: 1)).propose(request, 2) == []
