"""Text completions through OpenAI's client."""

import openai
import pytest

from lmcraft.language_model import LanguageModel


def test_a_completion_echoes_scores_and_continues_its_prompt(client: openai.OpenAI, model: LanguageModel) -> None:
    ids = model.tokenizer.encode("Line 3: the quick")
    scored = client.completions.create(model="tiny", prompt=ids, max_tokens=0, echo=True, logprobs=2)
    logprobs = scored.choices[0].logprobs
    assert "".join(logprobs.tokens) == scored.choices[0].text == "Line 3: the quick"
    expected = model.engine.score(ids).log_softmax(-1)
    assert logprobs.token_logprobs[0] is None
    assert logprobs.token_logprobs[2] == pytest.approx(float(expected[1, ids[2]]), abs=1e-3)
    both = client.completions.create(model="tiny", prompt=["the", "fox"], max_tokens=5, echo=True, seed=1, n=2)
    assert [choice.text[:3] for choice in both.choices] == ["the", "the", "fox", "fox"]
    parts = client.completions.create(model="tiny", prompt="the", max_tokens=5, seed=1, stream=True)
    assert "the" + "".join(part.choices[0].text for part in parts) == both.choices[0].text


def test_token_ids_outside_of_the_vocabulary(client: openai.OpenAI) -> None:
    for create in (client.completions.create, client.embeddings.create):
        with pytest.raises(openai.BadRequestError, match="the prompt has token 99999"):
            create(model="tiny", **{"prompt" if create == client.completions.create else "input": [1, 99999]})
