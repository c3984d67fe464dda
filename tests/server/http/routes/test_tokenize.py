"""Text to tokens and back."""

import httpx2 as httpx

from tests.server.tiny_server import CONTEXT, Server


def test_tokenize_and_detokenize_round_trip(server: Server) -> None:
    text = "天地玄黄 🙂 the fox"
    tokens = httpx.post(server.url + "/tokenize", json={"prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == CONTEXT
    assert httpx.post(server.url + "/detokenize", json={"tokens": tokens["tokens"]}).json() == {"prompt": text}
