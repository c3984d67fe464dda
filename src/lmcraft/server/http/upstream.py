"""Another engine behind this gateway: any server with OpenAI's endpoints, such as vLLM's."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from lmcraft.server.engine.admission import Gate
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

CONNECT_TIMEOUT = 5.0  # seconds
TELLS = ("content-type", "retry-after")  # headers that pass


class Upstream:
    """A connection to the other engine.

    Args:
        url: its address, with or without /v1.
        key: what it is asked with; empty: nothing.
        limits: how many requests it gets at once, and for how long.
    """

    def __init__(self, url: str, key: str, limits: Limits) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(limits.request_timeout, connect=CONNECT_TIMEOUT)
        self._client = httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, follow_redirects=False)
        self.gate = Gate(limits)

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """The JSON that is at a path.

        Raises:
            ApiError: the other engine cannot be reached, or refuses.
        """
        async with self.asked("GET", path, b"") as answer:
            await answer.aread()
            if answer.status_code >= 400:
                raise ApiError(503, f"the engine at {self.url} answered {path} with status {answer.status_code}")
            return answer.json()

    @asynccontextmanager
    async def asked(self, method: str, path: str, content: bytes) -> AsyncIterator[httpx2.Response]:
        """Its answer, whose body is not read yet.

        Raises:
            ApiError: the other engine cannot be reached (503), or took too long (504).
        """
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            async with self._client.stream(method, path, content=content, headers=headers) as answer:
                yield answer
        except httpx2.TimeoutException as error:
            raise ApiError(504, f"the engine at {self.url} took too long: ask for less, or later", code="timeout") from error
        except httpx2.TransportError as error:
            said = f"the engine at {self.url} cannot be reached: start it, or try later"
            raise ApiError(503, said, headers={"Retry-After": "5"}) from error

    async def opened(self, owner: str, path: str, content: bytes) -> tuple[httpx2.Response, AsyncExitStack]:
        """Wait for a turn, and ask; whoever takes the answer closes the stack, which ends the turn.

        Raises:
            ApiError: as in `asked` and `Gate.turn`.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.gate.turn(owner))
            answer = await stack.enter_async_context(self.asked("POST", path, content))
            return answer, stack.pop_all()
