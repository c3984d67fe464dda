"""Embeddings through OpenAI's client."""

import math
from typing import Any

import openai
import pytest


@pytest.mark.parametrize(
    ("texts", "param"),
    [
        ([[1], []], "input[1]"),
        ([[1], 5], "input[1]"),
        ([5, "a"], "input[1]"),
        ([[], [1]], "input[0]"),
        ([[1], [1.5]], "input[1][0]"),
    ],
)
def test_the_wrong_entry_is_named(client: openai.OpenAI, texts: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="tiny", input=texts)
    assert caught.value.param == param


@pytest.mark.parametrize(("texts", "param"), [("", "input"), (["a", ""], "input[1]"), (["", "a"], "input[0]")])
def test_an_empty_text_has_no_embedding(client: openai.OpenAI, texts: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="tiny", input=texts)
    assert caught.value.param == param and caught.value.type == "invalid_request_error"


def test_embeddings(client: openai.OpenAI) -> None:
    data = client.embeddings.create(model="tiny", input=["the fox", "the dog", "the fox"]).data
    vectors = [entry.embedding for entry in data]
    assert vectors[0] == pytest.approx(vectors[2]) and vectors[0] != pytest.approx(vectors[1])
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-4)
    short = client.embeddings.create(model="tiny", input="the fox", dimensions=4, encoding_format="float").data[0].embedding
    assert len(short) == 4 and math.hypot(*short) == pytest.approx(1, abs=1e-4)
