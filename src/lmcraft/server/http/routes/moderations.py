"""`POST /v1/moderations`: what the policy says about texts."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request

from lmcraft.moderation.categories import CATEGORIES, all_labels, translate_scores
from lmcraft.moderation.decision import Decision
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.moderations import ModerationRequest
from lmcraft.server.http.state import server_state

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/moderations")
async def moderations(body: ModerationRequest, request: Request) -> dict[str, Any]:
    """Judge texts by the server's policy, or else by lmcraft's: OpenAI's categories, ours, and the decision record."""
    moderator = server_state(request).moderator
    await moderator.start_in_thread()
    decisions = [await moderator.judge_text(text, body.stage) for text in body.texts()]
    results = [_result(decision) for decision in decisions]
    return {"id": f"modr-{uuid4().hex}", "model": moderator.policy.identity, "results": results}


def _result(decision: Decision) -> dict[str, Any]:
    """A decision in OpenAI's form, with our categories and the decision record beside it."""
    scores = translate_scores(decision.scores, "openai")
    flagged = {label for name in decision.categories for label in CATEGORIES[name].openai}
    labels = all_labels("openai")
    return {
        "flagged": bool(decision.categories) or decision.failed,
        "categories": {label: label in flagged for label in labels},
        "category_scores": {label: scores[label] for label in labels},
        "category_applied_input_types": {label: ["text"] for label in labels},
        "lmcraft": {
            "categories": {name: name in decision.categories for name in CATEGORIES},
            "category_scores": {name: decision.scores.get(name, 0.0) for name in CATEGORIES},
            "decision": decision.as_json(),
        },
    }
