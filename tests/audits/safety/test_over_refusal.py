"""Harmless questions, and the answers of a model with and without a chat template."""

from typing import Literal

import pytest

from lmcraft.audits.safety.over_refusal import Answer, OverRefusalResult, harmless_questions, measure_over_refusal
from lmcraft.audits.safety.questions import encode_question, plain_question
from lmcraft.errors import UserError
from lmcraft.language_model import LanguageModel


@pytest.mark.parametrize("language", ["en", "zh"])
def test_there_are_about_sixty_harmless_questions(language: Literal["en", "zh"]) -> None:
    questions = harmless_questions(language)
    assert len(questions) == len(set(questions)) >= 60


def test_the_share_of_refusals() -> None:
    answers = [Answer("?", text) for text in ("I can't help with that.", "Use kill.", "抱歉，我无法回答。", "Like so.")]
    refused = OverRefusalResult(answers, 0).refused
    assert refused.value == 0.5 and refused.low is not None and refused.low < 0.5


def test_answers_of_a_base_model(language_model: LanguageModel) -> None:
    result = measure_over_refusal(language_model, ["the quick brown fox?", "a" * 300], max_new_tokens=8)
    assert result.skipped == 1
    assert [answer.question for answer in result.answers] == ["the quick brown fox?"]
    again = measure_over_refusal(language_model, ["the quick brown fox?"], max_new_tokens=8)
    assert again.answers == result.answers
    with pytest.raises(UserError, match="none of them fits"):
        measure_over_refusal(language_model, [], max_new_tokens=8)


def test_a_question_is_asked_as_the_model_was_trained(language_model: LanguageModel) -> None:
    assert plain_question("Why {x}?") == "Question: Why {x}?\nAnswer:"
    assert plain_question("为什么？") == "问题：为什么？\n回答："
    tokenizer = language_model.tokenizer.with_chat_template(
        "{% for message in messages %}the {{ message.content }} dogs{% endfor %}"
    )
    model = LanguageModel(language_model.transformer, tokenizer)
    assert tokenizer.decode(encode_question(model, "lazy")) == "the lazy dogs"
