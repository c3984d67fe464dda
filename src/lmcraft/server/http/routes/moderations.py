"""`POST /v1/moderations`."""

from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.errors import ApiError
from lmcraft.server.http.openai_format import head
from lmcraft.server.http.protocol.classify import ModerationRequest
from lmcraft.server.http.routes.classify import _by_head
from lmcraft.server.http.state import serving_of

router = APIRouter()


@router.post("/v1/moderations")
async def moderations(body: ModerationRequest, request: Request) -> dict[str, Any]:
    """Whether texts are harmful, by a classifier whose labels are the categories; "safe" and "none" are not flagged."""
    serving = serving_of(request)
    if not (name := body.model or serving.moderator):
        raise ApiError(404, "this server has no moderation model: start it with --moderation FOLDER", code="model_not_found")
    served = await serving.model(name)
    labels = served.classifier().labels
    texts = [body.input] if isinstance(body.input, str) else body.input
    results = []
    for shares in (await _by_head(request, served, texts))[0]:
        scores = {label: share for label, share in shares.items() if label.lower() not in ("safe", "none", "ok")}
        likeliest = max(shares, key=lambda label: shares[label])
        flags = {label: share > 0.5 if labels.several else label == likeliest for label, share in scores.items()}
        results.append({"flagged": any(flags.values()), "categories": flags, "category_scores": scores})
    return {"id": head("modr", "", "")["id"], "model": served.name, "results": results}
