"""A gateway in front of a server: the gateway checks keys and quotas, the server answers."""

from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.http.keys import Key, Keys
from tests.server.tiny_server import Server, running

KEY = "lmc-" + "k" * 40
HELLO = [{"role": "user", "content": "the fox"}]


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    plain = next(iter(Keys.read([KEY])))
    keys = Keys([Key("reader", plain.sha256, requests_per_minute=1000, tokens_per_minute=4000)])
    with running(tmp_path_factory.mktemp("gateway"), upstream=server.url + "/v1", keys=keys) as running_gateway:
        yield running_gateway


def test_responses_are_forwarded_whole_and_streamed(server: Server, gateway: Server) -> None:
    direct = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
    through = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY)
    request = {"model": "tiny", "messages": HELLO, "max_tokens": 8, "seed": 4}
    expected = direct.chat.completions.create(**request).choices[0].message.content
    assert through.chat.completions.create(**request).choices[0].message.content == expected
    parts = through.chat.completions.create(**request, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected
    assert [model.id for model in through.models.list()] == ["tiny"]
    info = httpx.get(gateway.url + "/api/info", headers={"Authorization": f"Bearer {KEY}"}).json()
    assert info["settings"] and not any(setting["name"].startswith("dry_") for setting in info["settings"])  # vLLM lacks DRY
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        through.chat.completions.create(**{**request, "model": "other"})


def test_the_gateway_checks_keys_and_quotas(gateway: Server) -> None:
    with pytest.raises(openai.AuthenticationError, match="is unknown"):
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="wrong").models.list()
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.BadRequestError, match="its key has 4000 a minute"):
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5000)
    for _ in range(12):  # the unused tokens are refunded
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=400, stop=["e", "t", "a", " ", "o"])
    assert "models" not in httpx.get(gateway.url + "/api/info").json()


def test_an_unreachable_upstream_is_503(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("unreachable"), upstream="http://127.0.0.1:9") as gateway:
        response = httpx.post(gateway.url + "/v1/chat/completions", json={"messages": HELLO})
        assert response.status_code == 503 and "127.0.0.1:9 cannot be reached" in response.json()["error"]["message"]
        assert httpx.get(gateway.url + "/health").status_code == 503
