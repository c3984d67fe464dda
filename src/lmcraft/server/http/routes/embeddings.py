"""`POST /v1/embeddings`."""

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.embedding import embed
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.completions import listed
from lmcraft.server.http.protocol.embeddings import EmbeddingRequest
from lmcraft.server.http.request_builder import check_length, prompt_ids
from lmcraft.server.http.state import call, serving_of

router = APIRouter()


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingRequest, request: Request) -> dict[str, Any]:
    """Each text as the mean of the model's last hidden states, of length 1."""
    served = await serving_of(request).model(body.model)
    width = served.language_model().transformer.config.hidden_size
    if body.dimensions is not None and body.dimensions > width:
        raise ApiError(400, f"dimensions={body.dimensions} is more than the model's {width}: lower it", param="dimensions")
    prompts = [await run_in_threadpool(prompt_ids, served, text) for text in listed(body.input)]
    data, count = [], 0
    for n, ids in enumerate(prompts):
        check_length(served, len(ids), 0)
        vector = await call(request, served, lambda engine, ids=ids: embed(engine, ids, served.adapter), len(ids))  # type: ignore[misc]
        data.append({"object": "embedding", "index": n, "embedding": _vector(vector, body)})
        count += len(ids)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": served.name, "data": data, "usage": usage}


def _vector(vector: list[float], body: EmbeddingRequest) -> list[float] | str:
    values = np.array(vector, dtype="<f4")
    if body.dimensions is not None:  # a part of a vector, of length 1 again
        values = values[: body.dimensions] / max(float(np.linalg.norm(values[: body.dimensions])), 1e-12)
    return base64.b64encode(values.tobytes()).decode() if body.encoding_format == "base64" else values.tolist()
