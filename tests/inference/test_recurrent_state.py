"""Models with recurrent layers in the engine: the texts of the model alone, whatever else happens."""

from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.kv_cache import KVCache
from lmcraft.inference.recurrent_state import RecurrentState, StateSnapshots
from lmcraft.inference.request import Request, SequenceState
from lmcraft.model.transformer import Transformer
from tests.inference.helpers import network, prompt, request_of, run, texts
from tests.inference.recurrent_models import KINDS, recurrent_model

pytestmark = pytest.mark.usefixtures("short_chunks")
GREEDY = GenerationConfig(max_new_tokens=20, do_sample=False)


def greedy_text(model: Transformer, ids: tuple[int, ...]) -> list[int]:
    """The text by the model alone."""
    cache, tokens = KVCache(model.config), list(ids)
    for _ in range(20):
        tokens.append(int(model(torch.tensor([tokens[cache.length :]]), cache=cache)[0, -1].argmax()))
    return tokens


def requests_with_prefix(num_requests: int, length: int = 70, **settings: Any) -> list[Request]:
    """Requests with different prompts of different lengths that begin with the same tokens, more than two chunks of 32."""
    prompts = [prompt(length) + prompt(1 + 3 * n, seed=n + 1) for n in range(num_requests)]
    return [Request(prompt_ids=ids, config=GREEDY, **settings) for ids in prompts]


def sequences(engine: Engine, requests: list[Request]) -> list[SequenceState]:
    running = [engine.submit(request) for request in requests]
    for _ in run(engine):
        engine.pool.check([sequence.block_table for sequence in engine.scheduler.running])
    assert [sequence.error for sequence in running] == [None] * len(running)
    return running


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_share_a_prefix_get_the_texts_of_the_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent_model(kind, monkeypatch)
    requests = requests_with_prefix(8)
    expected = [greedy_text(model, request.prompt_ids) for request in requests]
    engine = Engine(model, cache_tokens=2048)
    assert engine.tier == "eager"
    (first,) = sequences(engine, requests[:1])
    others = sequences(engine, requests[1:])
    assert [sequence.tokens for sequence in (first, *others)] == expected
    assert [sequence.num_cached for sequence in (first, *others)] == [0] + 7 * [64]
    at_once = sequences(Engine(model, cache_tokens=2048), requests)
    assert [sequence.tokens for sequence in at_once] == expected
    assert [sequence.num_cached for sequence in at_once].count(0) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_preempted_requests_go_on_as_if_nothing_happened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent_model(kind, monkeypatch)
    settings = {"max_new_tokens": 40, "min_new_tokens": 40}
    requests = [request_of(n, n, do_sample=n % 2 == 0, **settings) for n in (40, 30, 62, 31, 25)]
    alone = [texts(Engine(model, cache_tokens=2048), [request])[0] for request in requests]
    small = Engine(model, cache_tokens=256)
    preempted = []
    preempt = small.scheduler._preempt
    monkeypatch.setattr(small.scheduler, "_preempt", lambda sequence: (preempted.append(sequence), preempt(sequence)))
    assert texts(small, requests) == alone
    assert preempted


def test_a_state_that_an_interrupted_step_left_ahead_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent_model("hybrid", monkeypatch)
    requests = [request_of(40, 1), request_of(33, 2)]
    alone = [texts(Engine(model, cache_tokens=2048), [request])[0] for request in requests]
    engine = Engine(model, cache_tokens=2048)
    running = [engine.submit(request) for request in requests]
    for _ in range(6):
        engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_accept", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            engine.step()
    list(run(engine))
    assert [sequence.tokens for sequence in running] == alone


def test_owners_share_no_states(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(recurrent_model("recurrent", monkeypatch), cache_tokens=1024)
    for owner, num_cached in (("a", 0), ("b", 0), ("a", 64)):
        (sequence,) = sequences(engine, requests_with_prefix(1, owner=owner))
        assert sequence.num_cached == num_cached


@pytest.mark.parametrize("snapshot_bytes", [0, 2 * 2 * 32 * 2 * 4])
def test_snapshots_stay_within_their_memory(snapshot_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for none, or for two: those of the last prompt."""
    monkeypatch.setattr("lmcraft.inference.runner.MAX_SNAPSHOT_BYTES", snapshot_bytes)
    engine = Engine(recurrent_model("recurrent", monkeypatch), cache_tokens=1024)
    first, second, again, forgotten = (sequences(engine, [request_of(70, seed)])[0] for seed in (1, 2, 2, 1))
    assert (first.tokens, second.tokens) == (forgotten.tokens, again.tokens)
    assert len(engine.pool.snapshots) == (2 if snapshot_bytes else 0)
    assert (again.num_cached, forgotten.num_cached) == (64 if snapshot_bytes else 0, 0)


def test_a_state_is_forgotten_with_the_block_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(recurrent_model("hybrid", monkeypatch), cache_tokens=256)
    for seed in range(5):
        sequences(engine, [request_of(130, seed)])
    published = set(engine.pool._block_of)
    assert 0 < len(engine.pool.snapshots) <= len(published) <= 8
    assert published >= set(engine.pool.snapshots._states)


def test_the_snapshot_used_longest_ago_makes_room() -> None:
    def state(size: int) -> RecurrentState:
        return RecurrentState(32, {0: (torch.zeros(1, size),)})

    snapshots = StateSnapshots(max_bytes=400)
    for name in (b"a", b"b", b"c", b"d"):
        snapshots.put(name, state(25))
    snapshots.get(b"a")
    snapshots.put(b"b", state(25))
    snapshots.put(b"e", state(50))
    assert [name in snapshots for name in (b"a", b"b", b"c", b"d", b"e")] == [True, True, False, False, True]
    snapshots.put(b"a", state(101))  # larger than all the memory
    assert b"a" not in snapshots and len(snapshots) == 2


def test_scores_and_hidden_states_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts that are read in other chunks than generations, and reuse no state of theirs."""
    model = recurrent_model("hybrid", monkeypatch)
    engine = Engine(model, cache_tokens=2048)
    ids = prompt(100)
    expected = model(torch.tensor([ids]))[0].log_softmax(dim=-1)
    sequences(engine, [Request(prompt_ids=ids, config=GREEDY)])
    for first_scored in (1, 90):
        request = Request(
            prompt_ids=ids, config=GREEDY, generates=False, prompt_logprobs=0, first_scored=first_scored, top_logprobs=0
        )
        (scored,) = sequences(engine, [request])
        got = torch.tensor([score.logprob for score in scored.prompt_scores])
        targets = torch.tensor(ids)[first_scored:]
        torch.testing.assert_close(
            got, expected[first_scored - 1 : -1].gather(1, targets[:, None])[:, 0], atol=1e-4, rtol=1e-4
        )


def test_a_recurrent_draft_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot take back proposals"):
        Engine(network(), draft=recurrent_model("hybrid", monkeypatch))


def test_a_cache_that_is_cut_back_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent_model("hybrid", monkeypatch)
    cache = KVCache(model.config)
    model(torch.tensor([prompt(9)]), cache=cache)
    assert cache.length == 9 and cache.truncate(9) == 9 and cache.truncate(4) == 0 == cache.length
