"""`POST /v1/embeddings`."""

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from torch import Tensor

from lmcraft.inference.pooling import read_pooling
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.protocol.completions import as_prompt_list
from lmcraft.server.http.protocol.embeddings import EmbeddingRequest
from lmcraft.server.http.request_builder import PreparedRequest, build_reading, encode_prompt
from lmcraft.server.http.state import compute, server_state

router = APIRouter(route_class=JsonRoute)
MIN_NORM = 1e-12


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingRequest, request: Request) -> dict[str, Any]:
    """Each text as its last hidden states, pooled as the model's folder says or to their mean, and scaled to length 1."""
    limits, owner = server_state(request).limits, request.state.owner

    def prepare(served: ServedModel) -> PreparedRequest:
        width = served.language_model.transformer.config.hidden_size
        if body.dimensions is not None and body.dimensions > width:
            message = f"dimensions={body.dimensions} is more than the model's {width}; lower it"
            raise ApiError(400, message, param="dimensions")
        prompts = [_encode(served, text, name) for name, text in _named_texts(body)]
        pooling = read_pooling(served.path)
        return build_reading(served, prompts, owner, limits, prompt_field="input", pooling=pooling)

    computed = await compute(request, body.model, prepare)
    vectors = [sequence.pooled.vector for sequence in computed.prepared.sequences if sequence.pooled is not None]
    data = [{"object": "embedding", "index": n, "embedding": _format(vector, body)} for n, vector in enumerate(vectors)]
    usage = {"prompt_tokens": computed.prepared.prompt_tokens, "total_tokens": computed.prepared.prompt_tokens}
    return {"object": "list", "model": computed.served.name, "data": data, "usage": usage}


def _named_texts(body: EmbeddingRequest) -> list[tuple[str, str | list[int]]]:
    """The inputs, each with its name for errors."""
    texts = as_prompt_list(body.input)
    is_one = isinstance(body.input, str) or isinstance(body.input[0], int)
    named = [("input" if is_one else f"input[{n}]", text) for n, text in enumerate(texts)]
    if empty := next((name for name, text in named if not text), None):
        message = f"{empty} is empty, and there is no embedding of an empty text; leave it out, or send a text"
        raise ApiError(400, message, code="invalid_value", param=empty)
    return named


def _encode(served: ServedModel, text: str | list[int], param: str) -> list[int]:
    """A text's tokens between those that begin and end the model's texts; token ids as they are."""
    ids = encode_prompt(served, text, param=param)
    return ids if isinstance(text, list) else [*ids, *served.model.tokenizer.end_ids]


def _format(vector: Tensor, body: EmbeddingRequest) -> list[float] | str:
    values = vector[: body.dimensions].numpy().astype("<f4")  # only the first dimensions, if `dimensions` is set
    values /= max(float(np.linalg.norm(values)), MIN_NORM)
    return base64.b64encode(values.tobytes()).decode() if body.encoding_format == "base64" else values.tolist()
