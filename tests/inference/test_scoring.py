"""Scores of prompts, in pieces, as requests of the engine."""

from typing import Any

import pytest
import torch

from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request, SequenceState
from tests.inference.helpers import TIERS, network, prompt, run, sequence_of

pytestmark = pytest.mark.usefixtures("short_chunks")
IDS = prompt(100)


def scored(engine: Engine, **fields: Any) -> SequenceState:
    sequence = engine.submit(Request(**{"prompt_ids": IDS, "prompt_logprobs": 3, "generates": False, **fields}))
    list(run(engine))
    assert sequence.finished and sequence.error is None and engine.pool.num_free_blocks == engine.pool.num_blocks
    return sequence


def expected_logprobs(engine: Engine) -> torch.Tensor:
    with torch.no_grad():
        return engine.model(torch.tensor([IDS]))[0].log_softmax(dim=-1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("tier", TIERS)
def test_every_token_after_the_first_has_its_log_probability(tier: Any, weights: Any) -> None:
    engine = Engine(network(), tier=tier, weights=weights)
    logprobs_TV = engine.score(IDS).log_softmax(dim=-1)
    scores = scored(engine).prompt_scores
    assert len(scores) == 99
    for position, score in enumerate(scores, start=1):
        assert score.logprob == pytest.approx(float(logprobs_TV[position - 1, IDS[position]]), abs=1e-4)
        assert score.rank == 1 + int((logprobs_TV[position - 1] > logprobs_TV[position - 1, IDS[position]]).sum())
        assert [token_id for token_id, _ in score.alternatives] == logprobs_TV[position - 1].topk(3).indices.tolist()
        assert score.alternatives[0][1] == pytest.approx(float(logprobs_TV[position - 1].max()), abs=1e-4)


def test_scores_begin_at_any_position_and_reuse_the_prefix_before_it() -> None:
    engine = Engine(network(), tier="eager")
    whole = [score.logprob for score in scored(engine).prompt_scores]
    for first in (1, 33, 64, 70, 99):
        sequence = engine.submit(Request(prompt_ids=IDS, prompt_logprobs=0, first_scored=first, generates=False))
        engine.scheduler.next_batch()
        assert sequence.num_computed == (first - 1) // 32 * 32
        list(run(engine))
        assert [score.logprob for score in sequence.prompt_scores] == pytest.approx(whole[first - 1 :], abs=1e-4)


def test_a_scored_prompt_is_continued_as_if_it_were_not() -> None:
    for tier in ("eager", "auto"):
        config = GenerationConfig(max_new_tokens=20, seed=1)
        plain = scored(Engine(network(), tier=tier), prompt_logprobs=None, generates=True, config=config)  # type: ignore[arg-type]
        both = scored(Engine(network(), tier=tier), generates=True, config=config)  # type: ignore[arg-type]
        assert both.tokens == plain.tokens and len(both.prompt_scores) == 99
        assert [token.logprob for token in both.generated] == [token.logprob for token in plain.generated]


def test_a_preempted_prompt_goes_on_where_it_was() -> None:
    engine = Engine(network(), tier="eager")
    expected = scored(engine).prompt_scores
    engine = Engine(network(), tier="eager")
    sequence = engine.submit(Request(prompt_ids=IDS, prompt_logprobs=3, generates=False))
    engine.step()
    engine.step()
    engine.scheduler._preempt(sequence)
    list(run(engine))
    assert sequence.prompt_scores == expected


def test_a_single_token_has_nothing_before_it() -> None:
    assert scored(Engine(network(), tier="eager"), prompt_ids=(5,)).prompt_scores == []


def test_nothing_is_generated_for_a_request_that_only_scores() -> None:
    sequence = scored(Engine(network(), tier="eager"))
    assert sequence.generated == [] and sequence.max_new_tokens == 0
    assert sequence_of(Request(prompt_ids=IDS)).max_new_tokens == 20
