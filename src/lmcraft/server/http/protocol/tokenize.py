"""The requests of `/tokenize` and `/detokenize`."""

from typing import Any

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict, Text
from lmcraft.server.http.protocol.chat import MAX_MESSAGES, Message, Tool
from lmcraft.server.http.protocol.completions import TokenIds


class TokenizeRequest(Strict):
    """vLLM's request of the tokens of a text or of a conversation."""

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
    """vLLM's request of the text of tokens."""

    model: Name = ""
    tokens: TokenIds
