"""`POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as in vLLM."""

from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import token_text
from lmcraft.server.http.protocol.tokenize import DetokenizeRequest, TokenizeRequest
from lmcraft.server.http.request_builder import encode_conversation, encode_prompt
from lmcraft.server.http.state import prepare_in_thread, server_state

router = APIRouter(route_class=JsonRoute)


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, request: Request) -> dict[str, Any]:
    """The tokens of a text, or of a conversation in the model's chat template."""
    served = await server_state(request).get_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give either prompt or messages", param="prompt")

    def encode() -> tuple[list[int], list[str] | None]:
        tokenizer = served.model.tokenizer
        if body.prompt is not None:
            ids = [*(tokenizer.begin_ids if body.add_special_tokens else ()), *tokenizer.encode(body.prompt)]
        else:
            ids = encode_conversation(served, body, body.tools or [])
        return ids, [token_text(tokenizer, i) for i in ids] if body.return_token_strs else None

    ids, texts = await prepare_in_thread(request, encode)
    return {"count": len(ids), "max_model_len": served.context, "tokens": ids, "token_strs": texts}


@router.get("/tokenizer_info")
async def tokenizer_info(request: Request, model: str = "") -> dict[str, Any]:
    """The tokenizer's settings, as in its tokenizer_config.json."""
    served = await server_state(request).get_model(model)
    return served.model.tokenizer.settings_json()


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, str]:
    """The text of tokens, with special tokens spelled out."""
    served = await server_state(request).get_model(body.model)
    decode, ids = served.model.tokenizer.decode, body.tokens and encode_prompt(served, body.tokens, param="tokens")
    return {"prompt": await prepare_in_thread(request, lambda: decode(ids, skip_special_tokens=False))}
