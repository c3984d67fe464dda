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


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        ({"regex": "a{2,9}"}, "a" * 9),
        ({"choice": ["ab", "abcd"]}, "abcd"),
        ({"grammar": 'start: "a" "b"?'}, "ab"),
        ({"regex": "a+"}, "a" * 12),
    ],
)
def test_ignore_eos_makes_structured_text_as_long_as_its_structure_allows(
    client: openai.OpenAI, structure: dict[str, object], text: str
) -> None:
    extra = {"ignore_eos": True, "structured_outputs": structure}
    answer = client.completions.create(model="tiny", prompt="the", max_tokens=12, temperature=0, extra_body=extra)
    assert answer.choices[0].text == text
    assert answer.choices[0].finish_reason == ("length" if len(text) == 12 else "stop")


def test_structure_without_an_end_token_names_the_field(client: openai.OpenAI, model: LanguageModel) -> None:
    ends, model.eos_token_ids = model.eos_token_ids, ()
    formats = {"response_format": {"type": "json_object"}}, {"structured_outputs": {"choice": ["a", "b"]}}
    try:
        for extra, param in zip(formats, ("response_format", "structured_outputs.choice"), strict=True):
            with pytest.raises(openai.BadRequestError, match=f"{param} needs a model with an end token") as error:
                client.completions.create(model="tiny", prompt="the", extra_body=extra)
            assert error.value.param == param
    finally:
        model.eos_token_ids = ends
