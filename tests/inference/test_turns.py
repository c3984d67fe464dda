"""One model that several threads use."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.runner import Tier
from lmcraft.inference.turns import Turns
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import TIERS, tokenizer
from tests.tiny import tiny_model

GREEDY: dict[str, Any] = {"max_new_tokens": 12, "do_sample": False}
PROMPTS = [[5, 6, 7], [8, 9], [10] * 30, [11, 12]]


def model_of(tier: Tier = "auto") -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=tokenizer().vocab_size), tokenizer(), tier=tier)


def in_threads(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of the functions, each called in a thread of its own; an exception counts as a result."""
    results: list[Any] = [None] * len(functions)

    def call(number: int) -> None:
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return results


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("built", [True, False])
def test_threads_share_a_model(tier: Tier, built: bool) -> None:
    expected = [model_of(tier).generate(prompt, **GREEDY) for prompt in PROMPTS]
    model = model_of(tier)
    if built:
        model.generate([1], max_new_tokens=1)
    calls: list[Callable[[], Any]] = [lambda prompt=prompt: model.generate(prompt, **GREEDY) for prompt in PROMPTS]  # type: ignore[misc]
    assert in_threads(calls * 5) == expected * 5


@pytest.mark.parametrize("tier", TIERS)
def test_different_methods_mix(tier: Tier) -> None:
    model = model_of(tier)
    calls: list[Callable[[], Any]] = [
        lambda: model.complete("Once", **GREEDY),
        lambda: model.complete("Once", regex="[a-z]{5}", **GREEDY),
        lambda: "".join(model.stream("Once", seed=1, max_new_tokens=9)),
        lambda: model.generate([5, 6], num_beams=2, **GREEDY),
        lambda: model.compute_logits([5, 6, 7]).tolist(),
        lambda: model.engine.score([5, 6, 7]).tolist(),
    ]
    expected = [call() for call in calls]
    assert in_threads(calls * 3) == expected * 3


def test_an_unfinished_stream_blocks_nobody() -> None:
    model = model_of()
    unfinished, untouched = (model.tokens([5, 6, 7], do_sample=False, max_new_tokens=40) for _ in range(2))
    next(unfinished)
    expected = model_of().generate([5, 6], **GREEDY)
    assert in_threads([lambda: model.generate([5, 6], **GREEDY)] * 2) == [expected] * 2
    assert len(list(unfinished)) + 1 == len(list(untouched))


def test_an_error_ends_only_the_request_of_its_own_thread() -> None:
    def fail(input_ids: Tensor, logits: Tensor) -> Tensor:
        raise ValueError("a processor of one thread")

    model = model_of()
    expected = model.generate([5, 6], **GREEDY)
    good, bad = (lambda: model.generate([5, 6], **GREEDY)), (lambda: model.generate([5], logits_processor=fail, **GREEDY))
    results = in_threads([good, bad, good, bad])
    assert results[0] == results[2] == expected
    assert all(isinstance(result, ValueError) for result in results[1::2])


def test_a_processor_cannot_use_the_engine_that_calls_it() -> None:
    model = model_of()

    def nest(input_ids: Tensor, logits: Tensor) -> Tensor:
        model.compute_logits([5])  # in PyTorch
        model.complete("a", regex="[a-z]+", max_new_tokens=1)
        return logits

    with pytest.raises(UserError, match="cannot generate with the same model: load it twice"):
        model.complete("b", logits_processor=nest, regex="[a-z]+")
    assert model.generate([5], **GREEDY)


def test_whoever_has_what_it_needs_takes_no_turn() -> None:
    turns = Turns()
    with turns.take() as taken:
        assert taken
    with turns.take(unless=lambda: True) as taken:
        assert not taken
