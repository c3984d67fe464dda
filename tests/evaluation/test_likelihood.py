"""Texts packed into trees get the likelihoods that each has on its own."""

import random
from typing import Any

import pytest
import torch

from lmcraft.errors import RunError, UserError
from lmcraft.evaluation.likelihood import ScoredText, score_texts
from lmcraft.model.parts import ShortConv
from tests.tiny import GPT2, tiny_model

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "default": {},
    "gpt2": GPT2,
    "sliding window": {"sliding_window": 8},
    "few slide": {"sliding_window": 5, "layer_types": ("sliding_attention", "full_attention")},
    "recurrent": {"short_conv": ShortConv(kernel=3), "layer_types": ("conv", "full_attention")},
}


def make_texts(count: int = 40, seed: int = 0) -> list[ScoredText]:
    """Questions with four answers, some of one token, after two examples that all share."""
    numbers = random.Random(seed)
    examples = [numbers.randrange(90) for _ in range(10)]
    texts = []
    for _ in range(count // 4):
        question = [*examples, *(numbers.randrange(90) for _ in range(numbers.randrange(1, 20)))]
        for _ in range(4):
            answer = [numbers.randrange(90) for _ in range(numbers.choice((1, 1, 5, 9)))]
            texts.append(ScoredText(tuple(question + answer), len(question)))
    return texts


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("row_tokens", [1, 64, 1024])
def test_a_packed_text_has_the_likelihood_that_it_has_alone(name: str, row_tokens: int) -> None:
    model = tiny_model(**ARCHITECTURES[name])
    texts = make_texts()
    for text, likelihood in zip(texts, score_texts(model, texts, row_tokens=row_tokens), strict=True):
        with torch.no_grad():
            logprobs_TV = model(torch.tensor([text.ids[:-1]]))[0].log_softmax(-1)
        positions = range(text.first_scored, len(text.ids))
        expected = [float(logprobs_TV[i - 1, text.ids[i]]) for i in positions]
        assert likelihood.logprobs == pytest.approx(expected, abs=1e-5)
        assert likelihood.total == pytest.approx(sum(expected), abs=1e-4)
        assert likelihood.is_greedy == all(int(logprobs_TV[i - 1].argmax()) == text.ids[i] for i in positions)


def test_the_same_text_twice_has_one_likelihood() -> None:
    text = ScoredText((1, 2, 3, 4), 2)
    first, second = score_texts(tiny_model(), [text, text])
    assert first == second


def test_texts_that_share_everything_but_the_last_token_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    trees = []
    compute = model.tree_hidden_states
    monkeypatch.setattr(model, "tree_hidden_states", lambda tree: trees.append(tree) or compute(tree))
    score_texts(model, [ScoredText((1, 2, 3, token_id), 3) for token_id in range(50)])
    assert [len(tree.ids) for tree in trees] == [3]


def test_a_text_longer_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match=r"65 tokens.*max_position_embeddings=64"):
        score_texts(tiny_model(), [ScoredText(tuple(range(66)), 1)])


def test_a_damaged_model_is_refused() -> None:
    model = tiny_model()
    model.embed_tokens.weight.data.fill_(float("nan"))
    with pytest.raises(RunError):
        score_texts(model, [ScoredText((1, 2, 3), 1)])
