"""The request bodies of `/tokenize` and `/detokenize`."""

from typing import Any

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict, Text
from lmcraft.server.http.protocol.chat import MAX_MESSAGES, Message, Tool
from lmcraft.server.http.protocol.completions import TokenIds


class TokenizeRequest(Strict):
    """vLLM's request to tokenize a text or a conversation."""

    model: Name = ""
    prompt: Text | None = None
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] | None = Field(default=None, max_length=128)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = True
    return_token_strs: bool = False
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, max_length=32)


class DetokenizeRequest(Strict):
    """vLLM's request to turn tokens back into text."""

    model: Name = ""
    tokens: TokenIds
