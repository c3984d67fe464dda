import time

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request
from tests.inference.helpers import sequence_of


def test_the_seed_is_that_of_the_settings_or_of_the_id() -> None:
    seeded = [Request(prompt_ids=(1,), config=GenerationConfig(seed=5), row=row) for row in range(2)]
    assert [request.seed for request in seeded] == [5, 6]
    unseeded = [Request(prompt_ids=(1,), id=name) for name in ("a", "a", "b")]
    assert unseeded[0].seed == unseeded[1].seed != unseeded[2].seed
    assert Request(prompt_ids=(1,)).seed != Request(prompt_ids=(1,)).seed


def test_owner_and_adapter_have_separate_salts() -> None:
    pairs = [("a", ""), ("", "a"), ("a", "a"), ("", "")]
    salts = {sequence_of(Request(prompt_ids=(1,), owner=owner, adapter=adapter)).salt for owner, adapter in pairs}
    assert len(salts) == 4


def test_a_sequence_expires_when_cancelled_or_late() -> None:
    sequence = sequence_of(Request(prompt_ids=(1,)))
    assert not sequence.expired
    sequence.cancelled = True
    assert sequence.expired
    assert sequence_of(Request(prompt_ids=(1,), deadline=time.monotonic() - 1)).expired


def test_appending_records_the_token_and_ends_at_the_limit() -> None:
    sequence = sequence_of(Request(prompt_ids=(1, 2)), max_new_tokens=2)
    sequence.append(3, -0.5)
    assert not sequence.finished
    token = sequence.append(4, -0.25, ((4, -0.25),))
    assert sequence.finished and token.finish_reason == "length" and token.alternatives == ((4, -0.25),)
    assert sequence.tokens == [1, 2, 3, 4] and [token.id for token in sequence.generated] == [3, 4]
    assert sequence.prompt_length == 2
