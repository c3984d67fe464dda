"""The engine: a text is the same alone and in company, on a full pool, after a replay; both tiers."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference import engine as engine_module
from lmcraft.inference.eager import generate
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.native import reason_against
from lmcraft.inference.request import Batch, Request, Sequence
from lmcraft.inference.sampler import Sampler
from lmcraft.inference.speculation.prompt_lookup import Lookup, Luck
from lmcraft.inference.speculation.proposer import Guesser
from lmcraft.model.transformer import Transformer
from tests.inference.models import texts
from tests.tiny import tiny_model

TIERS = ["eager", pytest.param("native", marks=pytest.mark.skipif(bool(reason_against(tiny_model())), reason="no compiler"))]


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PIECE", 32)


def model() -> Transformer:
    return tiny_model(1, max_position_embeddings=256)


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(torch.randint(0, 96, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def request(length: int, seed: int = 0, **settings: Any) -> Request:
    config = GenerationConfig(**{"max_new_tokens": 20, "seed": seed, **settings})
    return Request(prompt_ids=prompt(length, seed), config=config, eos_token_ids=frozenset([7]))


REQUESTS = [
    request(length, seed, do_sample=seed % 2 == 0, temperature=1.5)
    for seed, length in enumerate((3, 40, 1, 70, 33, 64, 5, 100, 31, 32, 65, 20))
]


@pytest.mark.parametrize("tier", TIERS)
def test_greedy_is_that_of_plain_generation(tier: Any) -> None:
    network = model()
    config = GenerationConfig(do_sample=False, max_new_tokens=60)
    expected = [token.id for token in generate(network, prompt(50), config)]
    engine = Engine(network, tier=tier)
    assert engine.tier == tier
    (found,) = texts(engine, [Request(prompt_ids=prompt(50), config=config)])
    assert found[50:] == expected


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_text_is_the_same_alone_in_company_and_in_a_small_pool(tier: Any, weights: Any) -> None:
    network = model()
    alone = [texts(Engine(network, tier=tier, weights=weights), [one])[0] for one in REQUESTS]
    assert len({len(text) for text in alone}) > 3
    together = Engine(network, tier=tier, weights=weights)
    assert texts(together, REQUESTS) == alone
    assert texts(together, REQUESTS) == alone  # prefixes are found now
    small = Engine(network, tier=tier, weights=weights, cache_tokens=160)
    assert texts(small, REQUESTS[:9]) == alone[:9]


def test_a_small_pool_makes_the_youngest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(model(), tier="eager", cache_tokens=96)
    for seed in range(3):
        engine.submit(request(20, seed, max_new_tokens=40, do_sample=False))
    waited = 0
    for _ in engine.run():
        waited += bool(engine.waiting) and engine.waiting[0].computed == 0 and len(engine.waiting[0].tokens) > 20
    assert waited


def test_a_shared_beginning_is_computed_once_for_each_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(model(), tier="eager")
    lengths: list[int] = []
    forward = engine._forward
    monkeypatch.setattr(engine, "_forward", lambda *given: lengths.append(len(given[2])) or forward(*given))
    for owner, expected in (("a", [32, 32, 6]), ("a", [6]), ("b", [32, 32, 6])):
        config = GenerationConfig(max_new_tokens=1, seed=0)
        lengths.clear()
        texts(engine, [Request(prompt_ids=prompt(70), config=config, owner=owner)])
        assert lengths == expected


def test_guesses_change_nothing_but_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guesser, "worthwhile", lambda guesser, sequence: 7)
    network = model()
    if reason_against(network):
        pytest.skip("no compiler")
    repeated = (prompt(12) * 6)[:70]
    ask = Request(prompt_ids=repeated, config=GenerationConfig(do_sample=False, max_new_tokens=100))
    results, steps = [], []
    for lookup in (False, True):
        engine = Engine(network, tier="native", lookup=lookup)
        sequence = engine.submit(ask)
        count = 0
        while engine.waiting or engine.running:
            engine.step()
            count += 1
        results.append(sequence.tokens)
        steps.append(count)
    assert results[0] == results[1] and steps[1] < steps[0]


def test_guess_is_what_followed_last_time() -> None:
    assert Lookup().guess([1, 2, 3, 4, 5, 9, 2, 3], 3) == [4, 5, 9]
    assert Lookup().guess([1, 2, 3, 4], 3) == [] and Lookup().guess([], 3) == [] and Lookup().guess([5], 3) == []
    assert Lookup().guess([1, 2, 7, 1, 2, 8, 1, 2], 2) == [8, 1]
    assert Lookup().guess([1, 2, 7, 1, 2], 0) == []
    grows, text = Lookup(), list(prompt(200) * 2)
    for length in range(len(text)):
        assert grows.guess(text[:length], 5) == Lookup().guess(text[:length], 5)


def test_an_id_replays_its_text() -> None:
    network, config = model(), GenerationConfig(max_new_tokens=20)
    asks = [Request(prompt_ids=prompt(10), config=config, id=name) for name in ("one", "two", "one")]
    one, two, again = texts(Engine(network, tier="eager"), asks)
    assert one == again != two
    assert texts(Engine(network, tier="eager"), asks[2:]) == [one]


def test_luck_follows_what_the_guesses_were_worth() -> None:
    luck = Luck()
    hope = luck.chance
    assert luck.tokens(0) == 1 and 2.9 < luck.tokens(3) < 4
    for _ in range(10):
        luck.learn(7, 0)
    assert luck.chance < 0.3
    for _ in range(100):
        luck.learn(0, 0)
    assert luck.chance == pytest.approx(hope, abs=1e-3)
    for _ in range(10):
        luck.learn(7, 7)
    assert luck.chance > 0.95


def test_guesses_are_made_where_they_pay() -> None:
    sequence = Sequence(request(5), room=20, sampler=Sampler(GenerationConfig(), vocab_size=96))

    def worthwhile(seconds: Callable[[int], float]) -> int:
        steps: Any = {rows: SimpleNamespace(usual=seconds(rows)) for rows in range(1, 17)}
        return Guesser(steps, True, None).worthwhile(sequence)

    assert worthwhile(lambda rows: 1) == 15  # rows cost nothing
    assert worthwhile(lambda rows: rows) == 0  # a row costs as much as a step
    assert worthwhile(lambda rows: 1 + max(0, rows - 4)) == 3
    assert worthwhile(lambda rows: 0) == 15  # nobody knows yet
    for _ in range(20):
        sequence.luck.learn(3, 0)
    assert worthwhile(lambda rows: 1 + rows / 4) == 0  # they are always wrong


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("budget", [0, 36, 200])
def test_no_step_computes_more_than_its_budget(tier: Any, budget: int) -> None:
    network = model()
    engine = Engine(network, tier=tier, max_num_seqs=4, max_num_batched_tokens=budget, cache_tokens=512)
    next_batch, sizes, prompts = engine._next_batch, [], []

    def counted() -> Batch:
        batch = next_batch()
        pieces = [stop - sequence.computed for sequence, stop in batch.prefill]
        sizes.append(sum(pieces) + sum(len(ids) for _, ids in batch.decode))
        prompts.append(len(pieces))
        return batch

    engine._next_batch = counted  # type: ignore[method-assign]
    assert texts(engine, REQUESTS) == texts(Engine(network, tier=tier), REQUESTS)
    assert max(sizes) <= (budget or 32 + 4)
    assert budget < 100 or max(prompts) == 4


def test_a_budget_that_would_let_a_prompt_starve_is_refused() -> None:
    with pytest.raises(UserError, match="max_num_batched_tokens=35 is less"):
        Engine(model(), tier="eager", max_num_seqs=4, max_num_batched_tokens=35)


@pytest.mark.parametrize("tier", TIERS)
def test_cancelled_and_late_requests_leave_at_every_step(tier: Any) -> None:
    network = model()
    for stop_after in range(1, 8):
        engine = Engine(network, tier=tier)
        doomed = engine.submit(request(70, 1))
        other = engine.submit(request(40, 2))
        for _ in range(stop_after):
            engine.step()
        doomed.cancelled = True
        list(engine.run())
        assert other.finished and not doomed.finished and engine.pool.available == engine.pool.count
    engine.submit(Request(prompt_ids=prompt(5), deadline=time.monotonic() - 1))
    assert list(engine.run()) == []


def test_a_request_replays() -> None:
    engine = Engine(model(), tier="eager")
    ask = Request(prompt_ids=prompt(9), config=GenerationConfig(temperature=2, max_new_tokens=30))
    first, again = texts(engine, [ask]), texts(engine, [ask])
    assert first == again
    different = Request(prompt_ids=ask.prompt_ids, config=ask.config)
    assert texts(engine, [different]) != first


def test_mistakes_are_one_sentence() -> None:
    engine = Engine(model(), tier="eager", cache_tokens=64)
    for ask, words in (
        (Request(prompt_ids=()), "no tokens"),
        (Request(prompt_ids=prompt(64)), "max_position_embeddings=64|context"),
        (Request(prompt_ids=(96,)), "token 96"),
        (Request(prompt_ids=(1,), config=GenerationConfig(num_beams=2, do_sample=False)), "num_beams=2"),
        (Request(prompt_ids=(1,), config=GenerationConfig(stop=("x",))), "tokenizer"),
        (Request(prompt_ids=(1,), config=GenerationConfig(logit_bias={200: 1.0})), "token 200"),
    ):
        with pytest.raises(UserError, match=words):
            engine.submit(ask)
    moe = tiny_model(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
    with pytest.raises(UserError, match="experts"):
        Engine(moe, tier="native")
    assert Engine(moe).tier == "eager"


def test_order_within_a_sequence_is_kept() -> None:
    engine = Engine(model(), tier="eager")
    asked = [engine.submit(one) for one in REQUESTS[:5]]
    seen: dict[Sequence, list[int]] = {sequence: list(sequence.request.prompt_ids) for sequence in asked}
    for sequence, token in engine.run():
        seen[sequence].append(token.id)
    assert all(tokens == sequence.tokens for sequence, tokens in seen.items())


@pytest.mark.skipif(bool(reason_against(tiny_model())), reason="no compiler")
@pytest.mark.parametrize("settings", [{"do_sample": False}, {"temperature": 0.8, "top_k": 20}, {"repetition_penalty": 1.3}])
def test_a_draft_changes_no_text_and_saves_steps(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever guesses: the tokens are the model's own draws, so their distribution is, too."""
    monkeypatch.setattr(Guesser, "worthwhile", lambda guesser, sequence: 7)
    requests = [request(length, seed, **settings) for length, seed in ((5, 1), (40, 2), (40, 3))]
    network, other = model(), tiny_model(2, max_position_embeddings=64)
    steps, found = {}, {}
    for name, draft in (("none", None), ("another", other), ("itself", network)):
        engine = Engine(network, tier="native", lookup=False, draft=draft)
        found[name], steps[name] = [], 0
        for ask in requests:
            sequence = engine.submit(ask)
            while not sequence.finished:
                engine.step()
                steps[name] += 1
            found[name].append(sequence.tokens)
    assert found["none"] == found["another"] == found["itself"]
    assert steps["itself"] < steps["none"] / 2
    assert engine.pool.available == engine.pool.count


def test_a_draft_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size=50 and the model 96"):
        Engine(model(), draft=tiny_model(vocab_size=50))
    with pytest.raises(UserError, match="leave draft out"):
        Engine(model(), tier="eager", draft=model())
