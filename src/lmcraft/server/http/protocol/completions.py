"""The request body of `/v1/completions`."""

from typing import Annotated

from pydantic import Field

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Text, TokenId
from lmcraft.server.http.protocol.sampling import Sampling

MAX_PROMPTS, MAX_PROMPT_TOKENS = 2048, 1_000_000
# The first wrong item ends the validation: an error for each of a million items would take minutes.
TokenIds = Annotated[list[TokenId], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPT_TOKENS)]
Prompts = Text | TokenIds | Annotated[list[Text | TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_PROMPTS)]


def as_prompt_list(prompts: str | list[int] | list[str | list[int]]) -> list[str | list[int]]:
    """One prompt, or several, as a list."""
    if isinstance(prompts, str):
        return [prompts]
    ids = [token_id for token_id in prompts if isinstance(token_id, int)]
    return [ids] if ids else [prompt for prompt in prompts if not isinstance(prompt, int)]


class CompletionRequest(Sampling):
    """OpenAI's completion request, with vLLM's extra fields."""

    prompt_field = "prompt"
    prompt: Prompts
    suffix: Text | None = None
    max_tokens: int | None = Field(default=16, ge=0, lt=2**31)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool = False
    best_of: int | None = Field(default=None, ge=1)
    add_special_tokens: bool = True

    def check(self) -> None:
        super().check()
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ApiError(400, f"best_of={self.best_of} is not supported; leave it out", param="best_of")
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            raise ApiError(400, "max_tokens=0 generates nothing; raise it, or set echo=true", param="max_tokens")
        if self.suffix is not None and self.echo:
            raise ApiError(400, "echo=true does not work with suffix; leave one of them out", param="echo")
        if self.echo and self.logprobs is not None and self.stream:
            raise ApiError(400, "echo=true with logprobs cannot be streamed; set stream=false", param="stream")
