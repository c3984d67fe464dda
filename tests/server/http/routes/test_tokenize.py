"""Text to tokens and back."""

import httpx2 as httpx
import pytest

from tests.server.tiny_server import CONTEXT, Server


def test_tokenize_and_detokenize_round_trip(server: Server) -> None:
    text = "天地玄黄 🙂 the fox"
    tokens = httpx.post(server.url + "/tokenize", json={"prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == CONTEXT
    assert httpx.post(server.url + "/detokenize", json={"tokens": tokens["tokens"]}).json() == {"prompt": text}


@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_an_empty_text_has_only_the_tokens_that_begin_a_text(server: Server, add_special_tokens: bool) -> None:
    begin_ids = list(server.state.registry.get("tiny").model.tokenizer.begin_ids) if add_special_tokens else []
    body = {"prompt": "", "add_special_tokens": add_special_tokens}
    assert httpx.post(server.url + "/tokenize", json=body).json()["tokens"] == begin_ids
    assert httpx.post(server.url + "/detokenize", json={"tokens": []}).json() == {"prompt": ""}


def test_a_token_outside_the_vocabulary_has_no_text(server: Server) -> None:
    vocab_size = server.state.registry.get("tiny").model.transformer.config.vocab_size
    response = httpx.post(server.url + "/detokenize", json={"tokens": [1, vocab_size]})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "tokens")
    assert f"token {vocab_size}, but the model's token ids are 0 to {vocab_size - 1}" in error["message"]
