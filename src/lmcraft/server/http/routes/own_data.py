"""`/api/data`: everything that the server has stored for the key of the request."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from lmcraft.server.http.routes.conversations import Owner
from lmcraft.server.http.state import server_state
from lmcraft.server.privacy.key_data import erase_data, export_json

FLUSH_SECONDS = 5.0
"""How long the erasure waits for texts that are on their way into a store."""
router = APIRouter(prefix="/api/data", tags=["conversations"])


@router.get("")
def export_own_data(request: Request, owner: Owner) -> StreamingResponse:
    """Conversations with ratings and preferences, responses, texts in reviews, verdicts, and logged prompts of this key, as
    one JSON object, streamed."""
    return StreamingResponse(export_json(request.app.state.stores, owner), media_type="application/json")


@router.delete("")
def erase_own_data(request: Request, owner: Owner) -> dict[str, Any]:
    """Erase all of it for good. `deleted` counts what there was. Verdicts that this key has given as a reviewer stay."""
    state = request.app.state
    if (guard := server_state(request).guard) is not None:
        guard.flush(FLUSH_SECONDS)
    if state.prompt_log is not None:
        state.prompt_log.flush(FLUSH_SECONDS)
    deleted = erase_data(state.stores, owner)
    state.housekeeping.purge_soon()
    return {"deleted": deleted}
