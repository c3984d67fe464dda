"""`POST /tokenize` and `POST /detokenize`."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.server.errors import ApiError
from lmcraft.server.http.openai_format import spelled
from lmcraft.server.http.protocol.tokenize import DetokenizeRequest, TokenizeRequest
from lmcraft.server.http.request_builder import conversation_ids, prompt_ids
from lmcraft.server.http.state import serving_of

router = APIRouter()


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, request: Request) -> dict[str, Any]:
    """The tokens of a text, or of a conversation as the model's template puts it."""
    served = await serving_of(request).model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give prompt or messages, one of them", param="prompt")
    if body.prompt is not None:
        ids = await run_in_threadpool(lambda: prompt_ids(served, body.prompt or "", begin=body.add_special_tokens))
    else:
        ids = await run_in_threadpool(conversation_ids, served, body, body.tools or [])
    found: dict[str, Any] = {"count": len(ids), "max_model_len": served.context, "tokens": ids}
    strings = [spelled(served.model.tokenizer, i) for i in ids] if body.return_token_strs else None
    return {**found, "token_strs": strings}


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, str]:
    """The text of tokens, special ones spelled out."""
    served = await serving_of(request).model(body.model)
    return {"prompt": await run_in_threadpool(served.model.tokenizer.decode, body.tokens, skip_special_tokens=False)}
