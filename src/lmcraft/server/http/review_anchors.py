"""Writes where the audit log of the reviews ends to a file of anchors, while the server runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from lmcraft.annotation.audit_log.anchors import append_anchor
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import RunError

log = logging.getLogger("lmcraft.server")
ANCHOR_SECONDS = 600.0


@asynccontextmanager
async def anchors_appended(store: ReviewStore, file: Path) -> AsyncIterator[None]:
    """In the context, append an anchor every `ANCHOR_SECONDS` if the log has grown; also at the beginning and the end.

    What cannot be written is logged.
    """
    repeating = asyncio.create_task(_repeat(store, file))
    try:
        yield
    finally:
        repeating.cancel()
        await to_thread.run_sync(_append, store, file)


async def _repeat(store: ReviewStore, file: Path) -> None:
    while True:
        await to_thread.run_sync(_append, store, file)
        await asyncio.sleep(ANCHOR_SECONDS)


def _append(store: ReviewStore, file: Path) -> None:
    try:
        with store.reading() as (connection, _):
            append_anchor(connection, file)
    except (OSError, RunError) as error:
        log.error("no anchor of the audit log could be added to review_anchors='%s' (%s)", file, error)
