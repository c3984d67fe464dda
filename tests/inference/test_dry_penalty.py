"""The DRY penalty against hand-computed values and against its definition, written out slowly."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.inference import dry_penalty
from lmcraft.inference.dry_penalty import (
    SequenceBreakers,
    dry_penalties,
    find_breakers,
    penalize_dry,
    repetitions,
    z_function,
)
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from lmcraft.inference.request import Request
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.speculation.speculator import Speculator
from tests.inference.helpers import TIERS, language_model, network, texts, tokenizer

NO_BREAKERS = SequenceBreakers()
FEW_TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def config(**values: Any) -> GenerationConfig:
    return GenerationConfig(**{"dry_multiplier": 0.8, "dry_penalty_last_n": -1, "dry_sequence_breakers": (), **values})


def penalties(tokens: list[int], breakers: SequenceBreakers = NO_BREAKERS, **values: Any) -> dict[int, float]:
    return dry_penalties(np.array(tokens), config(**values), breakers)


def penalties_by_definition(tokens: list[int], breakers: set[int], c: GenerationConfig) -> dict[int, float]:
    """With breakers of one token each."""
    after_breaker = next((n for n, token in enumerate(reversed(tokens)) if token in breakers), len(tokens))
    longest: dict[int, int] = {}
    for end in range(len(tokens) - 1):
        length = 0
        while length <= end and tokens[end - length] == tokens[len(tokens) - 1 - length]:
            length += 1
        length = min(length, after_breaker)
        if length >= c.dry_allowed_length and tokens[end + 1] not in breakers:
            longest[tokens[end + 1]] = max(length, longest.get(tokens[end + 1], 0))
    return {token: c.dry_multiplier * c.dry_base ** (length - c.dry_allowed_length) for token, length in longest.items()}


def test_hand_computed_penalties() -> None:
    assert penalties([1, 2, 3, 1, 2]) == {3: pytest.approx(0.8)}  # "1 2" was followed by 3
    assert penalties([5, 1, 2, 3, 9, 5, 1, 2]) == {3: pytest.approx(0.8 * 1.75)}  # "5 1 2" was
    assert penalties([1, 2, 3, 7, 1, 2, 4, 1, 2]) == {3: pytest.approx(0.8), 4: pytest.approx(0.8)}
    assert penalties([1, 3, 2, 3]) == {}  # one repeated token is allowed
    assert penalties([1, 3, 2, 3], dry_allowed_length=1) == {2: pytest.approx(0.8)}
    assert penalties([4, 4, 4, 4, 4]) == {4: pytest.approx(0.8 * 1.75**2)}  # "4 4 4 4", overlapping itself
    assert penalties([5, 1, 2, 3, 9, 5, 1, 2], dry_multiplier=2.0, dry_base=3.0) == {3: pytest.approx(6.0)}


def test_breakers_end_a_repetition_and_are_not_penalized() -> None:
    newline = SequenceBreakers({0: ((),)})
    assert penalties([5, 0, 1, 2, 3, 9, 5, 0, 1, 2], newline) == {3: pytest.approx(0.8)}
    assert penalties([1, 2, 3, 1, 2, 0], newline) == {}
    assert penalties([1, 2, 0, 7, 1, 2], newline) == {}
    two_tokens = SequenceBreakers({8: ((6,),)})
    assert penalties([8, 6, 1, 2, 3, 9, 8, 6, 1, 2], two_tokens) == {3: pytest.approx(0.8)}
    assert penalties([8, 5, 1, 2, 3, 9, 8, 5, 1, 2], two_tokens) == {3: pytest.approx(0.8 * 1.75**2)}
    assert penalties([1, 2, 8, 4, 1, 2], two_tokens) == {8: pytest.approx(0.8)}  # 8 alone does not contain the breaker


def test_only_the_window_is_searched() -> None:
    logits, tokens = torch.zeros(1, 10), torch.tensor([[1, 2, 3, 9, 9, 1, 2]])
    for last_n, expected in ((-1, -0.8), (64, -0.8), (7, -0.8), (6, 0.0), (0, 0.0)):
        c = config(dry_penalty_last_n=last_n)
        penalized = Sampler(c, vocab_size=10).penalize(logits, tokens, prompt_length=5)
        assert penalized[0, 3] == pytest.approx(expected) and penalized.sum() == pytest.approx(expected)


def test_rows_are_penalized_each_by_its_own_text() -> None:
    tokens = torch.tensor([[1, 2, 3, 1, 2], [1, 2, 3, 4, 5], [2, 2, 2, 2, 2]])
    got = penalize_dry(torch.zeros(3, 6), tokens, config(), NO_BREAKERS)
    assert got[0].tolist() == pytest.approx([0, 0, 0, -0.8, 0, 0])
    assert got[1].tolist() == [0] * 6
    assert got[2].tolist() == pytest.approx([0, 0, -0.8 * 1.75**2, 0, 0, 0])


@given(FEW_TOKENS, st.sets(st.integers(0, 3), max_size=1), st.integers(1, 4), st.sampled_from([1.0, 1.75]))
@settings(max_examples=300, deadline=None)
def test_penalties_follow_the_definition(tokens: list[int], breaker_ids: set[int], allowed: int, base: float) -> None:
    c = config(dry_allowed_length=allowed, dry_base=base)
    breakers = SequenceBreakers(dict.fromkeys(breaker_ids, ((),)))
    assert dry_penalties(np.array(tokens), c, breakers) == pytest.approx(penalties_by_definition(tokens, breaker_ids, c))


@given(FEW_TOKENS)
@settings(max_examples=200, deadline=None)
def test_direct_matching_and_the_z_algorithm_agree(tokens: list[int]) -> None:
    direct = repetitions(np.array(tokens))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dry_penalty, "MAX_DIRECT_MATCH_TOKENS", 2)
        by_z_function = repetitions(np.array(tokens))
    assert [part.tolist() for part in direct] == [part.tolist() for part in by_z_function]
    lengths = z_function(tokens)
    for start in range(len(tokens)):
        assert tokens[start : start + lengths[start]] == tokens[: lengths[start]]
        assert start + lengths[start] == len(tokens) or tokens[start + lengths[start]] != tokens[lengths[start]]


def test_the_cost_is_linear_in_the_length_of_the_text() -> None:
    """Comparing each pair of positions would take 10 billion steps for these texts."""
    for tokens in (np.zeros(100_000, dtype=np.int64), np.tile(np.arange(50), 2_000)):
        start = time.perf_counter()
        assert len(dry_penalties(tokens, config(), NO_BREAKERS)) == 1
        assert time.perf_counter() - start < 5


def test_penalties_stay_finite() -> None:
    (penalty,) = penalties([1] * 5000, dry_base=4.0).values()
    assert np.isfinite(np.float32(penalty))


def test_breakers_are_found_in_a_vocabulary() -> None:
    breakers = find_breakers(tokenizer(), ("small", "\n"))
    for token_id in range(tokenizer().vocab_size):
        token = tokenizer().token_bytes(token_id)
        assert breakers.contains_whole(token_id) == (b"small" in token or b"\n" in token)
    ids = tokenizer().encode("a small model")
    end = len(tokenizer().encode("a small"))
    assert breakers.tokens_after_last(ids) == len(ids) - end
    spelled = [*tokenizer().encode("s"), *tokenizer().encode("m"), *tokenizer().encode("all")]
    head_only = breakers.tails.get(spelled[0], ())
    assert () not in head_only and tuple(tokenizer().encode("mall")) in head_only


def test_breakers_need_a_tokenizer() -> None:
    with pytest.raises(UserError, match="dry_sequence_breakers needs a tokenizer"):
        Sampler(GenerationConfig(dry_multiplier=0.8), vocab_size=10)
    Sampler(GenerationConfig(dry_multiplier=0.8, dry_penalty_last_n=0), vocab_size=10)
    model = language_model()
    assert len(model.generate([5, 6], dry_multiplier=0.8, max_new_tokens=3, seed=0)[0]) == 5
    assert model.complete("Once", dry_multiplier=0.8, max_new_tokens=3, num_beams=2) is not None


def has_repetition(tokens: list[int], start: int) -> bool:
    """Whether some token from `start` on extends a repetition of two tokens."""
    return any(
        tuple(tokens[n - 2 : n + 1]) in set(zip(tokens, tokens[1:n], tokens[2:n], strict=False))
        for n in range(start, len(tokens))
    )


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("prompt_lookup", [False, True])
def test_greedy_text_and_speculation_obey_dry(tier: Any, prompt_lookup: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strong penalty rules out all repetitions: the shortcut for greedy text and prompt lookup do not bypass it."""
    monkeypatch.setattr(Speculator, "best_length", lambda *arguments: 7)
    model = network()
    prompt_ids = tuple([3, 1, 4, 1, 5, 9, 2, 6] * 5)
    strong = config(do_sample=False, max_new_tokens=60, dry_multiplier=100.0)
    assert strong.greedy and not strong.is_model_argmax
    greedy = GenerationConfig(do_sample=False, max_new_tokens=60)
    without_dry, with_dry = (
        [*prompt_ids, *(token.id for token in generate(model, prompt_ids, settings))] for settings in (greedy, strong)
    )
    assert has_repetition(without_dry, len(prompt_ids)) and not has_repetition(with_dry, len(prompt_ids))
    engine = Engine(model, tier=tier, prompt_lookup=prompt_lookup)
    assert texts(engine, [Request(prompt_ids=prompt_ids, config=strong)]) == [with_dry]
