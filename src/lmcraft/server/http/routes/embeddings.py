"""`POST /v1/embeddings`."""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.embedding import embed
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.completions import as_prompt_list
from lmcraft.server.http.protocol.embeddings import EmbeddingRequest
from lmcraft.server.http.request_builder import check_context, encode_prompt
from lmcraft.server.http.state import call_engine, server_state

router = APIRouter(route_class=JsonRoute)
MIN_NORM = 1e-12


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingRequest, request: Request) -> dict[str, Any]:
    """Each text as the mean of the model's last hidden states, scaled to length 1."""
    served = await server_state(request).get_model(body.model)
    width = served.language_model.transformer.config.hidden_size
    if body.dimensions is not None and body.dimensions > width:
        raise ApiError(400, f"dimensions={body.dimensions} is more than the model's {width}; lower it", param="dimensions")
    prompts = [await run_in_threadpool(encode_prompt, served, text) for text in as_prompt_list(body.input)]
    data, token_count = [], 0
    for n, ids in enumerate(prompts):
        check_context(served, len(ids), 0)
        vector = await call_engine(request, served, partial(_embed, served, ids), len(ids))
        data.append({"object": "embedding", "index": n, "embedding": _format(vector, body)})
        token_count += len(ids)
    usage = {"prompt_tokens": token_count, "total_tokens": token_count}
    return {"object": "list", "model": served.name, "data": data, "usage": usage}


def _embed(served: ServedModel, ids: Sequence[int]) -> list[float]:
    return embed(served.text_engine, ids, served.adapter)


def _format(vector: list[float], body: EmbeddingRequest) -> list[float] | str:
    values = np.array(vector, dtype="<f4")
    if body.dimensions is not None:  # only the first dimensions, rescaled to length 1
        values = values[: body.dimensions] / max(float(np.linalg.norm(values[: body.dimensions])), MIN_NORM)
    return base64.b64encode(values.tobytes()).decode() if body.encoding_format == "base64" else values.tolist()
