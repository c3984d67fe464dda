"""`POST /v1/moderations`: a classifier's labels as categories of harm."""

from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import response_fields
from lmcraft.server.http.protocol.classify import ModerationRequest
from lmcraft.server.http.routes.classify import classify_with_head
from lmcraft.server.http.state import server_state

router = APIRouter(route_class=JsonRoute)
HARMLESS_LABELS = ("safe", "none", "ok")
MULTI_LABEL_THRESHOLD = 0.5


@router.post("/v1/moderations")
async def moderations(body: ModerationRequest, request: Request) -> dict[str, Any]:
    """Whether texts are harmful. Each of the classifier's labels, except the harmless ones, is a category."""
    state = server_state(request)
    if not (name := body.model or state.moderator):
        message = "this server has no moderation model; start it with --moderation FOLDER"
        raise ApiError(404, message, code="model_not_found")
    served = await state.get_model(name)
    labels = served.classifier.labels
    texts = [body.input] if isinstance(body.input, str) else body.input
    results = []
    for probabilities in (await classify_with_head(request, served, texts))[0]:
        scores = {label: p for label, p in probabilities.items() if label.lower() not in HARMLESS_LABELS}
        top_label = max(probabilities, key=lambda label: probabilities[label])
        flags = {
            label: p > MULTI_LABEL_THRESHOLD if labels.multi_label else label == top_label for label, p in scores.items()
        }
        results.append({"flagged": any(flags.values()), "categories": flags, "category_scores": scores})
    return {"id": response_fields("modr", "", "")["id"], "model": served.name, "results": results}
