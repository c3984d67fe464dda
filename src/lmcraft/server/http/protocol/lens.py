"""The request body of `/v1/lens`."""

from pydantic import Field

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Name, Text, TokenId
from lmcraft.server.http.protocol.chat import MAX_MESSAGES, ChatInput, Message, TemplateInput
from lmcraft.server.http.protocol.completions import MAX_PROMPT_TOKENS, TokenIds

MAX_CHOICES = 20


class LensRequest(TemplateInput):
    """Asks what each layer says about the token that follows a prompt and the beginning of an answer."""

    model: Name = ""
    prompt: Text | TokenIds | None = None
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=MAX_MESSAGES)
    add_special_tokens: bool = True
    token_ids: list[TokenId] = Field(
        default=[], fail_fast=True, max_length=MAX_PROMPT_TOKENS, description="What the answer has so far."
    )
    target: TokenId | None = Field(default=None, description="A token whose rank and log-probability each layer reports.")
    top_logprobs: int = Field(default=5, ge=1, le=MAX_CHOICES)

    def unused_fields(self) -> set[str]:
        return self.model_fields_set & (set(TemplateInput.model_fields) if self.messages is None else {"add_special_tokens"})

    def check(self) -> None:
        """Raise ApiError unless there is either a prompt or messages, whose fields agree."""
        if (self.prompt is None) == (self.messages is None):
            raise ApiError(400, "give either prompt or messages", param="prompt")
        if self.messages is not None:
            self.as_chat().check()

    def as_chat(self) -> ChatInput:
        """The messages, and how the chat template renders them."""
        names = ("model", "messages", *TemplateInput.model_fields)
        return ChatInput.model_validate({name: getattr(self, name) for name in names})
