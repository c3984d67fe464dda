"""Clients share the engine's time, its slots and its memory."""

from collections import Counter
from typing import Any

import pytest

from lmcraft.inference import step_clock
from lmcraft.inference.engine import Engine
from lmcraft.inference.fair_share import MAX_CREDIT_SECONDS, FairShare
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request, SequenceState
from lmcraft.inference.scheduler import SHARED_STEP_ROWS, Batch
from tests.clock import set_clock
from tests.inference.helpers import network, prompt, run

pytestmark = pytest.mark.usefixtures("short_chunks")


def submit(engine: Engine, client: str, length: int, tokens: int = 8, **fields: Any) -> SequenceState:
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False)
    return engine.submit(Request(**{"prompt_ids": prompt(length), "config": config, "client": client, **fields}))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose clock counts the tokens that it computes."""
    engine = Engine(network(), tier="eager", max_num_seqs=4, cache_tokens=512)
    clock = [0.0]
    for name in ("prefill", "hidden_states", "decode"):
        original = getattr(engine.runner, name)

        def counted(*args: Any, original: Any = original, **settings: Any) -> Any:
            tokens = [args[2]] if len(args) > 1 else [getattr(work, "ids", [0]) for work in args[0]]
            clock[0] += sum(map(len, tokens))
            return original(*args, **settings)

        monkeypatch.setattr(engine.runner, name, counted)
    set_clock(monkeypatch, step_clock, perf_counter=lambda: clock[0])
    return engine


def steps_until(engine: Engine, sequence: SequenceState) -> int:
    steps = 0
    while not sequence.finished:
        engine.step()
        steps += 1
    return steps


def test_an_idle_client_gets_little_credit() -> None:
    share = FairShare()
    share.charge("a", 5.0)
    share.arrive("b", {"a"})
    assert share.used("b") == 5.0 - MAX_CREDIT_SECONDS
    share.charge("b", 1.0)
    share.arrive("b", {"a"})
    assert share.used("b") == 6.0 - MAX_CREDIT_SECONDS and share.used("c") == 0.0


def test_a_long_prompt_waits_while_another_client_decodes(engine: Engine) -> None:
    long = submit(engine, "a", 240, tokens=1)
    engine.step()
    short = submit(engine, "b", 10)
    computed = long.num_computed
    steps_until(engine, short)
    assert long.num_computed - computed <= 32, "one chunk, and eight tokens of the other client"
    list(run(engine))
    assert long.finished


def test_within_one_client_the_first_comes_first(engine: Engine) -> None:
    first, second = (submit(engine, "a", 240, prompt_ids=prompt(240, seed)) for seed in (1, 2))
    while not first.generated:
        assert second.num_computed == 0
        engine.step()


@pytest.mark.parametrize("kind", [{}, {"prompt_logprobs": 2, "generates": False}, {"pooling": "mean", "generates": False}])
def test_a_client_with_all_slots_makes_room(engine: Engine, kind: dict[str, Any]) -> None:
    greedy = [submit(engine, "a", 60, tokens=40, **kind) for _ in range(8)]
    engine.step()
    other = submit(engine, "b", 10)
    assert steps_until(engine, other) <= 12
    assert not all(sequence.finished for sequence in greedy)
    list(run(engine))
    assert all(sequence.finished and sequence.error is None for sequence in greedy)
    assert len({tuple(sequence.tokens) for sequence in greedy}) == 1
    engine.pool.check([])


def test_a_client_with_the_whole_pool_makes_room(engine: Engine) -> None:
    greedy = [submit(engine, "a", 200, tokens=20, prompt_ids=prompt(200, seed)) for seed in range(4)]
    engine.step()
    other = submit(engine, "b", 200, prompt_ids=prompt(200, 9))
    assert steps_until(engine, other) <= 40
    list(run(engine))
    assert all(len(sequence.generated) == 20 for sequence in greedy)
    engine.pool.check([])


def test_short_prompts_of_several_clients_are_computed_in_the_time_of_one_chunk(engine: Engine) -> None:
    short = [submit(engine, client, 10, owner=client) for client in "abb"]
    engine.step()
    assert [len(sequence.generated) for sequence in short] == [1, 1, 0], "one of each client"
    long = [submit(engine, client, 30) for client in "cd"]
    for number in (1, 2):
        engine.step()
        assert sum(bool(sequence.generated) for sequence in long) == number, "two would be more than a chunk"
    list(run(engine))


def test_two_clients_take_turns_and_neither_starves(engine: Engine) -> None:
    queued = {client: [submit(engine, client, 70, tokens=12, owner=client) for _ in range(5)] for client in "abc"}
    list(run(engine))
    assert all(len(sequence.generated) == 12 for sequences in queued.values() for sequence in sequences)
    used = [engine.scheduler.share.used(client) for client in "abc"]
    assert max(used) < 1.5 * min(used)


def test_a_client_with_many_texts_takes_turns_with_its_own() -> None:
    engine = Engine(network(), tier="eager", max_num_seqs=12, cache_tokens=1024)
    many = [submit(engine, "a", 5, tokens=30, prompt_ids=prompt(5, seed)) for seed in range(11)]
    while not all(sequence.generated for sequence in many):
        engine.step()
    num_before = [len(sequence.generated) for sequence in many]
    other = submit(engine, "b", 5, tokens=12)
    next_batch, shared = engine.scheduler.next_batch, []

    def recorded() -> Batch:
        batch = next_batch()
        clients = Counter(sequence.request.client for sequence, _ in batch.decode)
        clients.update(sequence.request.client for sequence, _ in batch.prefill)
        if len(clients) == 2:
            shared.append(clients)
        return batch

    engine.scheduler.next_batch = recorded  # type: ignore[method-assign]
    while not other.finished:
        engine.step()
    assert len(shared) == 12 and all(clients == {"a": SHARED_STEP_ROWS, "b": 1} for clients in shared)
    num_new = [len(sequence.generated) - before for sequence, before in zip(many, num_before, strict=True)]
    assert max(num_new) - min(num_new) <= 1
    list(run(engine))
    alone = [submit(engine, "a", 5, tokens=30, prompt_ids=prompt(5, seed)) for seed in range(11)]
    list(run(engine))
    assert [sequence.tokens for sequence in many] == [sequence.tokens for sequence in alone]


@pytest.mark.parametrize(
    ("counts", "expected"), [((6, 6), (6, 6)), ((9, 1), (4, 1)), ((9, 6, 1), (6, 6, 1)), ((11,), (11,))]
)
def test_no_client_has_many_more_rows_than_the_next(engine: Engine, counts: tuple[int, ...], expected: list[int]) -> None:
    sequences = [submit(engine, client, 5) for client, count in zip("abc", counts, strict=False) for _ in range(count)]
    rows = Counter(sequence.request.client for sequence in engine.scheduler._rows_in_turn(sequences))
    assert tuple(rows[client] for client in "abc"[: len(counts)]) == expected


def test_many_short_texts_compute_one_chunk_per_step(engine: Engine) -> None:
    texts = [submit(engine, "a", 3, pooling="mean", generates=False) for _ in range(20)]
    for _ in range(3):
        engine.step()
    assert sum(sequence.finished for sequence in texts) == 3
    other = submit(engine, "b", 10)
    engine.step()
    assert other.generated, "a new client's prompt is in the next step"
    assert steps_until(engine, other) <= 16
    list(run(engine))
    assert all(sequence.finished and sequence.error is None for sequence in texts)


def test_a_clients_generations_go_on_beside_its_batch(engine: Engine) -> None:
    running = submit(engine, "a", 10, tokens=30)
    engine.step()
    texts = [submit(engine, "a", 100, pooling="mean", generates=False) for _ in range(20)]
    new = submit(engine, "a", 40, tokens=20)
    for _ in range(24):
        engine.step()
    assert len(running.generated) == 25 and new.finished
    assert texts[0].finished and texts[1].finished and not texts[-1].finished
    list(run(engine))
    assert all(sequence.finished and sequence.error is None for sequence in texts)


def test_a_short_prompt_passes_long_ones_of_its_client_which_do_not_starve(engine: Engine) -> None:
    long = [submit(engine, "a", 120, tokens=1) for _ in range(3)]
    engine.step()
    short = submit(engine, "a", 10, tokens=1)
    assert steps_until(engine, short) <= 2 and not long[1].num_computed
    while not long[0].finished:
        submit(engine, "a", 10, tokens=1, prompt_ids=prompt(10, engine.pool.num_free_blocks))
        engine.step()


def test_an_exception_ends_one_request_only(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [submit(engine, "a", 5) for _ in range(3)]

    class PanicException(BaseException):
        pass

    def fail(error: BaseException) -> Any:
        def raise_error(*args: Any) -> Any:
            raise error

        return raise_error

    engine.step()
    monkeypatch.setattr(sequences[0], "append", fail(IndexError("bad")))
    monkeypatch.setattr(sequences[1], "append", fail(PanicException("index out of bounds")))
    list(run(engine))
    assert isinstance(sequences[0].error, IndexError) and "index out of bounds" in str(sequences[1].error)
    assert sequences[2].error is None and len(sequences[2].generated) == 8
    engine.pool.check([])
