"""Speculation saves steps and changes no text; it is used where it pays, and no text is slower with it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request, SequenceState
from lmcraft.inference.speculation.acceptance import AcceptanceRate
from lmcraft.inference.speculation.prompt_lookup import NGRAM_LENGTHS, PromptLookupProposer
from lmcraft.inference.speculation.proposer import Proposer
from lmcraft.inference.speculation.speculator import Speculator
from tests.inference.helpers import NATIVE_ONLY, network, prompt, request_of, sequence_of


class Verifier:
    def can_verify(self, adapter: str) -> bool:
        return adapter == ""


@dataclass
class Draft:
    """Proposes what `is_right` says: the next tokens of a text, or others."""

    text: Sequence[int]
    is_right: Callable[[int], bool]
    seconds_per_token: float = 0.1
    is_free: bool = False

    def supports(self, sequence: SequenceState) -> bool:
        return True

    def propose(self, sequence: SequenceState, max_tokens: int) -> list[int]:
        first = len(sequence.tokens)
        ids = list(self.text[first : first + max_tokens])
        return ids if self.is_right(first) else [token_id + 1 for token_id in ids]


def lookup() -> list[Proposer]:
    return [PromptLookupProposer(lengths) for lengths in NGRAM_LENGTHS]


def time_text(
    text: Sequence[int], proposers: list[Proposer], step_seconds: Callable[[int], float], prompt_length: int = 8
) -> float:
    """The time that a model takes to generate a text after its first tokens, relative to the time without proposals."""
    config = GenerationConfig(do_sample=False, max_new_tokens=len(text) - prompt_length)
    request = Request(prompt_ids=tuple(text[:prompt_length]), config=config)
    sequence = SequenceState(request, len(text) - prompt_length, sequence_of(request).sampler)
    speculator, seconds = Speculator(proposers, Verifier()), 0.0
    while (position := len(sequence.tokens)) < len(text):
        ids = speculator.propose(sequence, 64)
        rows = len(ids) + 1
        seconds += step_seconds(rows) + len(ids) * next((p.seconds_per_token for p in proposers), 0.0)
        num_equal = next((n for n, (a, b) in enumerate(zip(ids, text[position:], strict=False)) if a != b), len(ids))
        for token_id in text[position : position + num_equal + 1]:
            sequence.append(token_id, 0.0)
        speculator.step_times.record(rows, step_seconds(rows))
    return seconds / (step_seconds(1) * (len(text) - prompt_length))


def phrases(seed: int, num_tokens: int, num_phrases: int, length: int, share: float) -> list[int]:
    """Some of the text is phrases that occurred before, and the rest random tokens of a small vocabulary."""
    numbers = random.Random(seed)
    known = [[numbers.randrange(40) for _ in range(length)] for _ in range(num_phrases)]
    text: list[int] = []
    while len(text) < num_tokens:
        text += numbers.choice(known) if numbers.random() < share else [numbers.randrange(40) for _ in range(length)]
    return text[:num_tokens]


COSTS: dict[str, Callable[[int], float]] = {
    "free rows": lambda rows: 1.0,
    "half a step for 16 rows": lambda rows: 1 + (rows - 1) / 30,
    "a quarter of a step per row": lambda rows: 1 + (rows - 1) / 4,
    "half a step per row": lambda rows: 1 + (rows - 1) / 2,
    "a row is a step": lambda rows: float(rows),
    "blocks of 4 rows": lambda rows: 1.4 * -(-rows // 4) if rows > 1 else 1.0,
}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("num_tokens", [72, 136, 400])
@pytest.mark.parametrize("length", [2, 5, 20])
def test_no_text_is_slower_with_prompt_lookup(cost: str, num_tokens: int, length: int) -> None:
    for seed, share in enumerate((0.0, 0.3, 0.6, 0.9)):
        text = phrases(seed, num_tokens, 4, length, share)
        assert time_text(text, lookup(), COSTS[cost]) < (1.031 if num_tokens > 72 else 1.05)


@pytest.mark.parametrize("cost", COSTS)
def test_no_text_is_slower_with_a_draft(cost: str) -> None:
    """Not even if the draft is right until it is trusted."""
    text = [n % 7 for n in range(136)]
    for is_right in (lambda n: False, lambda n: n < 60, lambda n: n % 30 < 12):
        assert time_text(text, [Draft(text, is_right)], COSTS[cost]) < 1.031


@pytest.mark.parametrize(
    ("cost", "most"), [("free rows", 0.3), ("half a step for 16 rows", 0.33), ("blocks of 4 rows", 0.45)]
)
def test_a_text_that_repeats_is_faster(cost: str, most: float) -> None:
    passage = prompt(40)
    assert time_text(passage * 4, lookup(), COSTS[cost], prompt_length=44) < most
    assert time_text([*passage, *[1, 2, 3] * 40], lookup(), COSTS[cost], prompt_length=44) < most
    text = passage * 4
    assert time_text(text, [Draft(text, lambda n: True, 0.02)], COSTS[cost], prompt_length=44) < most + 0.1


def test_the_number_of_proposals_maximizes_tokens_per_second() -> None:
    request = sequence_of(request_of(5, do_sample=False))

    def best_length(seconds: Callable[[int], float], rate: float = 0.95) -> int:
        proposer = PromptLookupProposer((2,))
        speculator = Speculator([proposer], Verifier())
        for rows in (1, 2, 4, 8, 16) * 8:
            if seconds(rows):
                speculator.step_times.record(rows, seconds(rows))
        return speculator.best_length(request, proposer, AcceptanceRate((rate, 1 - rate)))

    assert best_length(lambda rows: 1) == 15  # rows cost nothing
    assert best_length(lambda rows: rows) == 0  # a row costs as much as a step
    assert best_length(lambda rows: 1 + max(0, rows - 4)) == 3
    assert best_length(lambda rows: 0) == 0  # a plain step is to be measured first
    assert best_length(lambda rows: 1 + (rows - 1) / 30, rate=0.05) == 0
    assert best_length(lambda rows: 1.0 if rows == 1 else 3.5) == 0  # faster, but a rejected proposal would cost too much


@NATIVE_ONLY
def test_prompt_lookup_saves_steps_and_keeps_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculator, "best_length", lambda *arguments: 7)
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


def test_no_proposals_where_they_cannot_be_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculator, "best_length", lambda *arguments: 7)
    speculator = Speculator(lookup(), Verifier())
    request = sequence_of(request_of(5, do_sample=False))
    request.tokens += request.tokens
    assert speculator.propose(request, 2) == request.tokens[:2]
    sampled = sequence_of(request_of(5, do_sample=True))
    adapted = sequence_of(Request(prompt_ids=prompt(5), config=GenerationConfig(do_sample=False), adapter="another"))
    for other in (sampled, adapted):
        other.tokens += other.tokens
        assert speculator.propose(other, 2) == []
    assert Speculator([], Verifier()).propose(request, 2) == []


def test_no_proposals_beyond_the_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculator, "best_length", lambda *arguments: 7)
    speculator = Speculator(lookup(), Verifier())
    request = sequence_of(request_of(6, do_sample=False), max_new_tokens=9)
    for token_id in request.tokens[:6]:
        request.append(token_id, 0.0)
    assert speculator.propose(request, 64) == request.tokens[:2]
