"""The request bodies of `/tokenize` and `/detokenize`."""

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict, Text, TokenId
from lmcraft.server.http.protocol.chat import MAX_MESSAGES, Message, TemplateInput
from lmcraft.server.http.protocol.completions import MAX_PROMPT_TOKENS


class TokenizeRequest(TemplateInput):
    """vLLM's request to tokenize a text or a conversation."""

    model: Name = ""
    prompt: Text | None = None
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=MAX_MESSAGES)
    add_special_tokens: bool = True
    return_token_strs: bool = False


class DetokenizeRequest(Strict):
    """vLLM's request to turn tokens back into text."""

    model: Name = ""
    tokens: list[TokenId] = Field(fail_fast=True, max_length=MAX_PROMPT_TOKENS)
