"""The connection to the engine behind a gateway, against a transport without sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http.upstream import Upstream
from lmcraft.server.limits import Limits

MODELS = {"object": "list", "data": [{"id": "big", "max_model_len": 4096}]}


def upstream_of(handler: Callable[[httpx2.Request], httpx2.Response], limits: Limits | None = None) -> Upstream:
    upstream = Upstream("http://engine:8000/v1/", "secret", limits or Limits())
    upstream._client = httpx2.AsyncClient(
        base_url=upstream.url, transport=httpx2.MockTransport(handler), headers=upstream._client.headers
    )
    return upstream


def test_models_are_listed_described_and_looked_up() -> None:
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json=MODELS)

    async def scenario() -> None:
        upstream = upstream_of(handle)
        assert await upstream.list_models() == MODELS["data"]
        [described] = await upstream.describe_models()
        assert (described["id"], described["kind"], described["context"]) == ("big", "chat", 4096)
        assert (await upstream.get_model("big"))["id"] == "big"
        with pytest.raises(ApiError, match="there is no model 'small' here; available: big"):
            await upstream.get_model("small")
        await upstream.check_health()
        await upstream.close()

    asyncio.run(scenario())
    assert {str(request.url) for request in requests} == {"http://engine:8000/v1/models"}
    assert requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (httpx2.Response(500), 503, "answered /v1/models with status 500"),
        (httpx2.ConnectError("refused"), 503, "cannot be reached; start it"),
        (httpx2.ReadTimeout("slow"), 504, "took too long"),
    ],
)
def test_a_failing_engine_is_unhealthy(outcome: Any, status: int, message: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if isinstance(outcome, Exception):
            raise outcome
        response: httpx2.Response = outcome
        return response

    with pytest.raises(ApiError, match=message) as caught:
        asyncio.run(upstream_of(handle).check_health())
    assert caught.value.status == status


def test_a_slot_is_held_until_the_response_is_closed() -> None:
    async def scenario() -> None:
        upstream = upstream_of(lambda request: httpx2.Response(200, json={}), Limits(max_num_seqs=1, max_queue=1))
        response, stack = await upstream.forward("ada", "POST", "/v1/completions", b"{}")
        assert response.status_code == 200
        waiting = asyncio.create_task(upstream.forward("bob", "POST", "/v1/completions", b"{}"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        with pytest.raises(ApiError, match="max_queue=1"):
            await upstream.forward("cid", "POST", "/v1/completions", b"{}")
        await stack.aclose()
        _, second_stack = await waiting
        await second_stack.aclose()

    asyncio.run(scenario())
