"""The request body of `/v1/chat/completions`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Ignored, Name, Strict, Text, unsupported
from lmcraft.server.http.protocol.sampling import Sampling, request_field

MAX_MESSAGES = 2048


class TextPart(Strict):
    """A part of a message; only text parts are supported."""

    type: Literal["text", "input_text", "output_text"]
    text: Text
    annotations: Ignored = None
    logprobs: Ignored = None
    parsed: Ignored = None


class RefusalPart(Strict):
    """A part of an answer in which a model refused."""

    type: Literal["refusal"]
    refusal: Text

    @property
    def text(self) -> str:
        return self.refusal


Part = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


def text_of(content: str | Sequence[TextPart | RefusalPart]) -> str:
    """The content of a message as one text."""
    return content if isinstance(content, str) else "".join(part.text for part in content)


class FunctionCall(Strict):
    """A function's name and its arguments as JSON text."""

    name: Name
    arguments: Annotated[Text, BeforeValidator(lambda value: json.dumps(value) if isinstance(value, dict) else value)] = ""
    parsed_arguments: Ignored = None


class ToolCall(Strict):
    """A call that the model made earlier."""

    id: Name
    type: Literal["function"] = "function"
    function: FunctionCall
    index: Ignored = None


class Message(Strict):
    """One message of a conversation, also as `message.model_dump()` of OpenAI's client writes it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[Part] | None = None
    name: Name | None = None
    tool_calls: list[ToolCall] | None = Field(default=None, max_length=128)
    tool_call_id: Name | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None
    annotations: Ignored = None
    parsed: Ignored = None
    audio: Annotated[Any, unsupported("send its transcript as content")] = None
    function_call: Annotated[Any, unsupported("send it in tool_calls")] = None

    def text(self) -> str:
        """The content as one text; of a refusal, its text."""
        return text_of(self.content or "") or self.refusal or ""


class Function(Strict):
    """A function that the model may call."""

    name: Name
    description: Text | None = None
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class Tool(Strict):
    """A tool; only functions are supported."""

    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    """The name of a function."""

    name: Name


class NamedTool(Strict):
    """`tool_choice`: the tool that the model must call."""

    type: Literal["function"]
    function: NamedFunction


class ChatInput(Strict):
    """Messages, and how the chat template renders them."""

    model: Name = ""
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] | None = Field(default=None, max_length=128)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, max_length=32)

    def check(self) -> None:
        """Raise ApiError for fields that contradict each other."""
        if self.continue_final_message and (self.add_generation_prompt or self.messages[-1].role != "assistant"):
            raise ApiError(
                400,
                "continue_final_message=true needs an assistant message at the end, and add_generation_prompt=false",
                param="continue_final_message",
            )


class ChatRequest(Sampling, ChatInput):
    """OpenAI's chat completion request, with vLLM's extra fields."""

    max_tokens: Annotated[int | None, request_field("max_new_tokens")] = None
    max_completion_tokens: Annotated[int | None, request_field("max_new_tokens")] = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    modalities: list[Literal["text"]] | None = None
    store: Ignored = None
    prediction: Ignored = None
    verbosity: Ignored = None
    functions: Annotated[Any, unsupported("use tools")] = None
    function_call: Annotated[Any, unsupported("use tool_choice")] = None

    @property
    def max_new_tokens(self) -> int:
        """Maximum number of generated tokens; 0: up to the model's context."""
        return self.max_completion_tokens or self.max_tokens or 0

    def check(self) -> None:
        super().check()
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, f"top_logprobs={self.top_logprobs} needs logprobs=true", param="top_logprobs")
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise ApiError(400, "tool_choice needs tools; give them, or leave tool_choice out", param="tool_choice")
        if self.parallel_tool_calls and self.forces_call:
            raise ApiError(
                400,
                "parallel_tool_calls=true does not work with a forced call, which is always a single one; leave it out",
                param="parallel_tool_calls",
            )

    @property
    def forces_call(self) -> bool:
        """Whether the answer must be a tool call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the prompt lists."""
        return [] if self.tool_choice == "none" else self.tools or []


@contextmanager
def translated_request() -> Iterator[None]:
    """In the context, a request to another endpoint becomes a chat completion.

    Raises:
        ApiError: a value is valid there, and not here, such as too many calls in one message.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        field, reason = ".".join(map(str, first["loc"])), str(first["msg"])
        message = f"{field} is invalid: {reason[:1].lower()}{reason[1:]}"
        raise ApiError(400, message, code="invalid_value", param=field) from error


def reasoning_variables(effort: str | None, enabled: bool | None) -> dict[str, Any] | None:
    """The variables by which chat templates know how much a model should think, under the names of gpt-oss and Qwen 3."""
    variables = {"reasoning_effort": effort, "enable_thinking": enabled}
    return {name: value for name, value in variables.items() if value is not None} or None
