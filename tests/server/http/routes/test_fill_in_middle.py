"""Fill-in-the-middle over HTTP, with the requests that editors send (docs/fill-in-the-middle.md)."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.fill_in_middle import FillInMiddle, with_fill_in_middle
from tests.inference.helpers import tokenizer
from tests.server.tiny_server import running
from tests.tiny import tiny_model

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\n\nprint(add(1, 2))\n"
# Recorded from the client's code: Continue's provider siliconflow, and minuet-ai.nvim's openai_fim_compatible.
CONTINUE = {
    "model": "code-assistant",
    "prompt": f"# Path: add.py\n{PREFIX}",
    "suffix": SUFFIX,
    "max_tokens": 8,
    "temperature": 0.01,
    "stop": ["/src/", "#- coding: utf-8", "```"],
    "stream": True,
}
MINUET = {
    "model": "code-assistant",
    "prompt": f"# language: python\n# indentation: use 4 spaces for a tab\n{PREFIX}",
    "suffix": SUFFIX,
    "stream": True,
    "max_tokens": 8,
    "top_p": 0.9,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    vocabulary = with_fill_in_middle(tokenizer())
    return LanguageModel(tiny_model(vocab_size=vocabulary.vocab_size, max_position_embeddings=256), vocabulary)


@pytest.fixture(scope="module")
def url(model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fim")
    model.save(folder / "code-assistant")
    with running(folder) as server:
        server.state.registry.open("code-assistant", folder / "code-assistant")
        yield f"{server.url}/v1/completions"


def text_of_stream(body: str) -> str:
    """As both clients read a stream."""
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1])


@pytest.mark.parametrize("body", [CONTINUE, MINUET], ids=["continue", "minuet"])
def test_requests_of_editors(body: dict[str, Any], url: str, model: LanguageModel) -> None:
    fixed = {**body, "temperature": 0}
    response = httpx.post(url, json=fixed, headers={"Authorization": "Bearer none", "Accept": "application/json"})
    assert response.status_code == 200 and "X-Ignored-Fields" not in response.headers
    settings = {"temperature": 0, "max_new_tokens": 8, "stop": tuple(body.get("stop", ()))}
    assert text_of_stream(response.text) == model.complete(body["prompt"], suffix=body["suffix"], **settings)
    assert httpx.post(url, json=body).status_code == 200


def test_the_text_ends_at_any_token_of_fill_in_the_middle(url: str, model: LanguageModel) -> None:
    tokens = FillInMiddle.of(model.tokenizer)
    assert tokens is not None
    for token in tokens.ends:
        body = {"model": "code-assistant", "prompt": PREFIX, "max_tokens": 5, "logit_bias": {str(token): 100}}
        [choice] = httpx.post(url, json={**body, "suffix": SUFFIX}).json()["choices"]
        assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    [choice] = httpx.post(url, json={**body, "logit_bias": {str(tokens.middle): 100}}).json()["choices"]
    assert choice["finish_reason"] == "length"  # without a suffix it is a token like others


def test_prompts_without_a_prefix_and_of_token_ids(url: str, model: LanguageModel) -> None:
    body = {"model": "code-assistant", "max_tokens": 4, "temperature": 0}
    for prompt, suffix in (("", SUFFIX), (PREFIX, ""), ("<|fim_middle|>", "<|fim_prefix|>" * 3)):
        [choice] = httpx.post(url, json={**body, "prompt": prompt, "suffix": suffix}).json()["choices"]
        assert choice["text"] == model.complete(prompt, suffix=suffix, temperature=0, max_new_tokens=4)
    [as_text], [as_ids] = (
        httpx.post(url, json={**body, "prompt": prompt, "suffix": SUFFIX}).json()["choices"]
        for prompt in (PREFIX, model.tokenizer.encode(PREFIX))
    )
    assert as_text["text"] == as_ids["text"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "tiny"}, "'tiny' cannot fill in the middle: its vocabulary lacks the tokens"),
        ({"suffix": "x " * 500}, "the model's context is 256 tokens, but the prompt has"),
        ({"prompt": [1, 99999]}, "the prompt has token 99999"),
        ({"suffix": 5}, "suffix"),
    ],
    ids=["vocabulary", "context", "token-id", "type"],
)
def test_refusals(fields: dict[str, Any], message: str, url: str) -> None:
    body = {"model": "code-assistant", "prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 4, **fields}
    response = httpx.post(url, json=body)
    assert response.status_code == 400 and message in response.json()["error"]["message"]
