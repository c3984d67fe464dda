"""The engine: a text is the same alone and in a batch, in a full pool, and after preemption, in both tiers."""

import time
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from lmcraft.inference.request import Request, SequenceState
from tests.inference.helpers import TIERS, network, prompt, request_of, run, texts
from tests.tiny import tiny_model

pytestmark = pytest.mark.usefixtures("short_chunks")
REQUESTS = [
    request_of(length, seed, do_sample=seed % 2 == 0, temperature=1.5)
    for seed, length in enumerate((3, 40, 1, 70, 33, 64, 5, 100, 31, 32, 65, 20))
]


@pytest.mark.parametrize("tier", TIERS)
def test_greedy_text_equals_eager_generation(tier: Any) -> None:
    model = network()
    config = GenerationConfig(do_sample=False, max_new_tokens=60)
    expected = [token.id for token in generate(model, prompt(50), config)]
    engine = Engine(model, tier=tier)
    assert engine.tier == tier
    (ids,) = texts(engine, [Request(prompt_ids=prompt(50), config=config)])
    assert ids[50:] == expected


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_text_is_the_same_alone_in_a_batch_and_in_a_small_pool(tier: Any, weights: Any) -> None:
    model = network()
    alone = [texts(Engine(model, tier=tier, weights=weights), [request])[0] for request in REQUESTS]
    assert len({len(text) for text in alone}) > 3
    batched = Engine(model, tier=tier, weights=weights)
    assert texts(batched, REQUESTS) == alone
    assert texts(batched, REQUESTS) == alone  # with cached prefixes
    small = Engine(model, tier=tier, weights=weights, cache_tokens=160)
    assert texts(small, REQUESTS[:9]) == alone[:9]


def test_a_shared_prefix_is_computed_once_per_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(network(), tier="eager")
    lengths: list[int] = []
    prefill = engine.runner.prefill
    monkeypatch.setattr(
        engine.runner, "prefill", lambda chunks: lengths.extend(len(c.ids) for c in chunks) or prefill(chunks)
    )
    for owner, expected in (("a", [32, 32, 6]), ("a", [6]), ("b", [32, 32, 6])):
        config = GenerationConfig(max_new_tokens=1, seed=0)
        lengths.clear()
        texts(engine, [Request(prompt_ids=prompt(70), config=config, owner=owner)])
        assert lengths == expected


def test_the_request_id_seeds_the_text() -> None:
    model, config = network(), GenerationConfig(max_new_tokens=20)
    requests = [Request(prompt_ids=prompt(10), config=config, id=name) for name in ("one", "two", "one")]
    one, two, again = texts(Engine(model, tier="eager"), requests)
    assert one == again != two
    assert texts(Engine(model, tier="eager"), requests[2:]) == [one]


def test_a_request_can_be_repeated() -> None:
    engine = Engine(network(), tier="eager")
    request = Request(prompt_ids=prompt(9), config=GenerationConfig(temperature=2, max_new_tokens=30))
    first, again = texts(engine, [request]), texts(engine, [request])
    assert first == again
    different = Request(prompt_ids=request.prompt_ids, config=request.config)
    assert texts(engine, [different]) != first


@pytest.mark.parametrize("tier", TIERS)
def test_cancelled_and_expired_requests_leave_at_any_step(tier: Any) -> None:
    model = network()
    for num_steps in range(1, 8):
        engine = Engine(model, tier=tier)
        cancelled = engine.submit(request_of(70, 1))
        other = engine.submit(request_of(40, 2))
        for _ in range(num_steps):
            engine.step()
        cancelled.cancelled = True
        list(run(engine))
        assert other.finished and not cancelled.finished and engine.pool.num_free_blocks == engine.pool.num_blocks
    engine.submit(Request(prompt_ids=prompt(5), deadline=time.monotonic() - 1))
    assert list(run(engine)) == []


def test_closing_a_stream_cancels_its_requests() -> None:
    engine = Engine(network(), tier="eager")
    stream = engine.stream([request_of(5, 1, max_new_tokens=50)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert list(run(engine)) == [] and not engine.has_work


def test_a_prepared_request_is_enqueued_later() -> None:
    engine = Engine(network(), tier="eager")
    prepared = engine.prepare(request_of(5, 1))
    assert not engine.has_work
    engine.enqueue(prepared)
    assert engine.has_work
    assert [token.id for _, token in run(engine)] == prepared.tokens[5:]


def test_invalid_requests_are_refused() -> None:
    engine = Engine(network(), tier="eager", cache_tokens=64)
    for request, message in (
        (Request(prompt_ids=()), "no tokens"),
        (Request(prompt_ids=prompt(64)), "max_position_embeddings=64|context"),
        (Request(prompt_ids=(96,)), "token 96"),
        (Request(prompt_ids=(1,), config=GenerationConfig(num_beams=2, do_sample=False)), "num_beams=2"),
        (Request(prompt_ids=(1,), config=GenerationConfig(stop=("x",))), "tokenizer"),
        (Request(prompt_ids=(1,), config=GenerationConfig(regex="x")), "regex needs a tokenizer"),
        (Request(prompt_ids=(1,), config=GenerationConfig(logit_bias={200: 1.0})), "token 200"),
    ):
        with pytest.raises(UserError, match=message):
            engine.submit(request)


def test_tokens_of_a_request_come_in_order() -> None:
    engine = Engine(network(), tier="eager")
    running = [engine.submit(request) for request in REQUESTS[:5]]
    ids: dict[SequenceState, list[int]] = {request: list(request.request.prompt_ids) for request in running}
    for request, token in run(engine):
        ids[request].append(token.id)
    assert all(tokens == request.tokens for request, tokens in ids.items())


@pytest.mark.parametrize("tier", TIERS)
def test_scores_are_the_logits_of_the_model(tier: Any) -> None:
    engine = Engine(network(), tier=tier)
    ids = list(prompt(100))
    with torch.no_grad():
        expected = engine.model(torch.tensor([ids]))[0]
    torch.testing.assert_close(engine.score(ids), expected, atol=2e-4, rtol=1e-4)
    assert engine.pool.num_free_blocks == engine.pool.num_blocks
    with pytest.raises(UserError, match="no tokens"):
        engine.score([])


def test_a_draft_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size=50 and the model 96"):
        Engine(network(), draft=tiny_model(vocab_size=50))
    with pytest.raises(UserError, match="leave draft out"):
        Engine(network(), tier="eager", draft=network())
