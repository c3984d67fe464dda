import pytest
import torch

from lmcraft.inference.engine import Engine
from lmcraft.inference.scoring import TokenScore, score_answers, score_tokens
from tests.inference.helpers import network


def test_every_token_after_the_first_has_its_log_probability() -> None:
    engine = Engine(network(), tier="eager")
    ids = [5, 6, 7, 8]
    with torch.no_grad():
        logprobs_TV = engine.model(torch.tensor([ids]))[0].log_softmax(dim=-1)
    scores = score_tokens(engine, ids, top_logprobs=3)
    assert scores[0] == TokenScore(None) and len(scores) == 4
    for position, score in enumerate(scores[1:], start=1):
        assert score.logprob == pytest.approx(float(logprobs_TV[position - 1, ids[position]]), abs=1e-4)
        assert [token_id for token_id, _ in score.alternatives] == logprobs_TV[position - 1].topk(3).indices.tolist()


def test_answers_are_scored_by_their_mean_log_probability() -> None:
    engine = Engine(network(), tier="eager")
    prompt_ids, answers = [5, 6, 7], [[8], [9, 10, 11]]
    for answer, score in zip(answers, score_answers(engine, prompt_ids, answers), strict=True):
        tokens = score_tokens(engine, [*prompt_ids, *answer])[len(prompt_ids) :]
        assert sum(token.logprob or 0 for token in tokens) / len(answer) == pytest.approx(score, abs=1e-4)


def test_a_single_token_has_nothing_before_it() -> None:
    assert score_tokens(Engine(network(), tier="eager"), [5], top_logprobs=2) == [TokenScore(None)]
