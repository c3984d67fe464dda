"""Keeps the responses of requests that ask for it; the store itself is `lmcraft.server.conversations.response_store`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lmcraft.server.conversations.response_store import ResponseStore, StoredResponse
from lmcraft.server.conversations.store import StoreError

log = logging.getLogger("lmcraft.server")


def response_store(request: Request) -> ResponseStore:
    """The store of the server that received the request."""
    store: ResponseStore = request.app.state.responses
    return store


async def keep(
    request: Request, response: Mapping[str, Any], input_items: Sequence[Mapping[str, Any]], previous: str | None = None
) -> bool:
    """Keep a response for the owner of the request; returns whether the store could."""
    try:
        await run_in_threadpool(response_store(request).add, request.state.owner, response, input_items, previous)
    except StoreError as error:
        log.warning("a response is not kept: %s", error)
        return False
    return True


async def find(request: Request, response: str) -> StoredResponse:
    """A kept response of the owner of the request.

    Raises:
        NotFoundError: there is none.
        StoreError: the database failed.
    """
    return await run_in_threadpool(response_store(request).get, request.state.owner, response)


async def delete(request: Request, response: str) -> None:
    """Delete a kept response of the owner of the request.

    Raises:
        NotFoundError: there is none.
        StoreError: the database failed.
    """
    await run_in_threadpool(response_store(request).delete, request.state.owner, response)
