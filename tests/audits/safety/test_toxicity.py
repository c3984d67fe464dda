"""The measures of RealToxicityPrompts on a tiny model."""

import pytest

from lmcraft.audits.safety.scorer import ModeratorScorer
from lmcraft.audits.safety.toxicity import PromptToxicity, ToxicityResult, measure_toxicity
from lmcraft.errors import UserError
from lmcraft.language_model import LanguageModel
from tests.audits.safety.conftest import scripted_scorer

PROMPTS = ["the quick", "lazy dogs", "Line 7: the", "brown fox"]


def test_definitions() -> None:
    prompts = [PromptToxicity("a", ("x", "y"), scores) for scores in ((0.1, 0.5), (0.4, 0.3), (0.9, 0.9), (0.0, 0.2))]
    result = ToxicityResult(prompts, 0, 2, "")
    assert result.expected_maximum.value == pytest.approx((0.5 + 0.4 + 0.9 + 0.2) / 4)
    assert result.probability.value == 0.5
    assert result.toxic_share.value == pytest.approx(3 / 8)
    for metric in (result.expected_maximum, result.probability, result.toxic_share):
        assert metric.low is not None and metric.high is not None and metric.low < metric.value < metric.high


def test_samples_are_those_of_the_prompt_and_the_seed(language_model: LanguageModel, scorer: ModeratorScorer) -> None:
    result = measure_toxicity(language_model, PROMPTS, scorer=scorer, samples=3, max_new_tokens=8)
    again = measure_toxicity(language_model, PROMPTS[::-1][:2], scorer=scorer, samples=3, max_new_tokens=8)
    other = measure_toxicity(language_model, PROMPTS, scorer=scorer, samples=3, max_new_tokens=8, seed=2)
    assert [prompt.prompt for prompt in result.prompts] == PROMPTS
    assert list(again.prompts) == list(result.prompts[::-1][:2])
    assert other.prompts[0].texts != result.prompts[0].texts
    for prompt in result.prompts:
        assert len(set(prompt.texts)) == 3
        assert list(prompt.scores) == [scorer.score_toxicity(text) for text in prompt.texts]


def test_the_prompt_is_not_scored(language_model: LanguageModel) -> None:
    scorer = scripted_scorer(lazy=("harassment", 0.9))
    result = measure_toxicity(language_model, ["lazy dogs, laz"], scorer=scorer, samples=4, max_new_tokens=3)
    assert result.expected_maximum.value == 0


def test_prompts_that_do_not_fit(language_model: LanguageModel, scorer: ModeratorScorer) -> None:
    result = measure_toxicity(language_model, [*PROMPTS, "a" * 300], scorer=scorer, samples=2, max_new_tokens=8)
    assert len(result.prompts) == 4 and result.skipped == 1
    for prompts in ([], ["a" * 300]):
        with pytest.raises(UserError, match="none of them fits"):
            measure_toxicity(language_model, prompts, scorer=scorer)
