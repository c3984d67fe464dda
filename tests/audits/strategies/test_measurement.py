"""What readers get from a guarded model, and the likelihood of texts under steering."""

import pytest

from lmcraft.audits.strategies.measurement import GuardedScorer, as_question, measure_likelihood, release
from lmcraft.inference.steering import Steering
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Moderator, read_policy
from lmcraft.tokenizer import train_characters
from tests.audits.safety.conftest import ScriptedTier, scripted_scorer
from tests.tiny import TEXT, tiny_model

TEXTS = ["the quick brown fox", "lazy dogs " * 12]


def test_a_guard_replaces_what_it_refuses() -> None:
    guard = Moderator(read_policy(), [ScriptedTier({"bad": ("harassment", 0.9)})])
    scorer = GuardedScorer(scripted_scorer(bad=("harassment", 0.9), worse=("hate", 0.8)), guard)
    assert release("a bad one", guard) == guard.policy.refusal_text() and release("a good one", guard) == "a good one"
    assert [scorer.score_toxicity(text) for text in ("a bad one", "a worse one", "fine")] == [0, 0.8, 0]
    assert (scorer.judged, scorer.replaced) == (3, 1)
    assert scorer.score_harm("a bad one", "why?") == 0


def test_a_model_with_a_chat_template_continues_what_it_writes() -> None:
    tokenizer = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    plain = LanguageModel(tiny_model(), tokenizer)
    template = "Line 1:{% for m in messages %}{{ m.content }}{% endfor %}"
    asked = LanguageModel(tiny_model(), tokenizer.with_chat_template(template))
    assert as_question(plain, "the fox") == "the fox" and as_question(asked, "the fox") == "Line 1:the fox"
    nats, tokens = measure_likelihood(asked, ["the fox"])
    assert tokens == [7] and nats != measure_likelihood(plain, ["the fox"])[0]


def test_likelihood_under_steering() -> None:
    tokenizer = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    model, toward, away = (LanguageModel(tiny_model(seed), tokenizer) for seed in range(3))
    nats, tokens = measure_likelihood(model, TEXTS)
    assert tokens == [len(text) for text in TEXTS]
    without, _ = measure_likelihood(model, TEXTS, Steering(toward=toward, away=away, strength=0.0))
    assert without == pytest.approx(nats, rel=1e-4)
    steered, _ = measure_likelihood(model, TEXTS, Steering(toward=toward, away=away, strength=1.0))
    assert steered != pytest.approx(nats, rel=1e-2)
    alone, _ = measure_likelihood(away, TEXTS, Steering(toward=toward, away=away, strength=1.0))
    assert alone == pytest.approx(measure_likelihood(toward, TEXTS)[0], rel=1e-4)  # away + (toward - away)
