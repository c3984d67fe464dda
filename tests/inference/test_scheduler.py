"""The scheduler: budget, order, preemption."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.scheduler import Batch
from tests.inference.helpers import TIERS, network, request_of, run, texts

pytestmark = pytest.mark.usefixtures("short_chunks")


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("budget", [0, 36, 200])
def test_no_step_exceeds_its_budget_of_tokens(tier: Any, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [request_of(length, seed) for seed, length in enumerate((3, 40, 1, 70, 33, 64, 5, 100, 31, 32, 65, 20))]
    model = network()
    engine = Engine(model, tier=tier, max_num_seqs=4, max_num_batched_tokens=budget, cache_tokens=512)
    next_batch, sizes, num_prompts = engine.scheduler.next_batch, [], []

    def recorded() -> Batch:
        batch = next_batch()
        chunks = [stop - request.num_computed for request, stop in batch.prefill]
        sizes.append(sum(chunks) + sum(len(ids) for _, ids in batch.decode))
        num_prompts.append(len(chunks))
        return batch

    monkeypatch.setattr(engine.scheduler, "next_batch", recorded)
    assert texts(engine, requests) == texts(Engine(model, tier=tier), requests)
    assert max(sizes) <= (budget or 32 + 4)
    assert budget < 100 or max(num_prompts) == 4


def test_a_budget_below_a_chunk_and_a_token_per_request_is_refused() -> None:
    with pytest.raises(UserError, match="max_num_batched_tokens=35 is less"):
        Engine(network(), tier="eager", max_num_seqs=4, max_num_batched_tokens=35)


def test_a_full_pool_preempts_the_youngest_request() -> None:
    engine = Engine(network(), tier="eager", cache_tokens=96)
    oldest, *_, youngest = [engine.submit(request_of(20, seed, max_new_tokens=40, do_sample=False)) for seed in range(3)]
    preempted = set()
    for _ in run(engine):
        preempted |= {request for request in engine.scheduler.waiting if len(request.tokens) > 20}
        assert all(request.num_computed == 0 for request in engine.scheduler.waiting)
    assert youngest in preempted and oldest not in preempted


def test_requests_beyond_the_limit_wait_in_order_of_arrival() -> None:
    engine = Engine(network(), tier="eager", max_num_seqs=2)
    first, second, third = (engine.submit(request_of(5, seed, max_new_tokens=4 + seed)) for seed in range(3))
    engine.step()
    assert engine.scheduler.running == [first, second] and list(engine.scheduler.waiting) == [third]
    list(run(engine))
    assert first.finished and second.finished and third.finished
