"""`POST /tokenize` and `POST /detokenize`, as in vLLM."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import token_text
from lmcraft.server.http.protocol.tokenize import DetokenizeRequest, TokenizeRequest
from lmcraft.server.http.request_builder import encode_conversation, encode_prompt
from lmcraft.server.http.state import server_state

router = APIRouter(route_class=JsonRoute)


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, request: Request) -> dict[str, Any]:
    """The tokens of a text, or of a conversation in the model's chat template."""
    served = await server_state(request).get_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give either prompt or messages", param="prompt")
    if body.prompt is not None:
        ids = await run_in_threadpool(encode_prompt, served, body.prompt, add_special_tokens=body.add_special_tokens)
    else:
        ids = await run_in_threadpool(encode_conversation, served, body, body.tools or [])
    texts = [token_text(served.model.tokenizer, token_id) for token_id in ids] if body.return_token_strs else None
    return {"count": len(ids), "max_model_len": served.context, "tokens": ids, "token_strs": texts}


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, str]:
    """The text of tokens, with special tokens spelled out."""
    served = await server_state(request).get_model(body.model)
    return {"prompt": await run_in_threadpool(served.model.tokenizer.decode, body.tokens, skip_special_tokens=False)}
