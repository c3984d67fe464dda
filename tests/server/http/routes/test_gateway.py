"""Our own server behind our gateway: keys and quotas are the gateway's, the answers the other's."""

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
    with running(tmp_path_factory.mktemp("gateway"), upstream=server.url + "/v1", keys=keys) as found:
        yield found


def test_answers_pass_whole_and_streamed(server: Server, gateway: Server) -> None:
    behind = openai.OpenAI(base_url=server.url + "/v1", api_key="none")
    before = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY)
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 8, "seed": 4}
    expected = behind.chat.completions.create(**asked).choices[0].message.content
    assert before.chat.completions.create(**asked).choices[0].message.content == expected
    parts = before.chat.completions.create(**asked, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected
    assert [model.id for model in before.models.list()] == ["tiny"]
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        before.chat.completions.create(**{**asked, "model": "other"})


def test_a_key_is_needed_and_its_quota_holds(gateway: Server) -> None:
    with pytest.raises(openai.AuthenticationError, match="not known here"):
        openai.OpenAI(base_url=gateway.url + "/v1", api_key="wrong").models.list()
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.BadRequestError, match="its key has 4000 a minute"):
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5000)
    for _ in range(12):  # what was not used is given back
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=400, stop=["e", "t", "a", " ", "o"])
    assert "models" not in httpx.get(gateway.url + "/api/info").json()


def test_an_engine_that_is_not_there_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("alone"), upstream="http://127.0.0.1:9") as alone:
        answer = httpx.post(alone.url + "/v1/chat/completions", json={"messages": HELLO})
        assert answer.status_code == 503 and "127.0.0.1:9 cannot be reached" in answer.json()["error"]["message"]
        assert httpx.get(alone.url + "/health").status_code == 503
