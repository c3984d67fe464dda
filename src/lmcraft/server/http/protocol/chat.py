"""The request body of `/v1/chat/completions`."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from lmcraft.inference.thought_format import FORMATS
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Ignored, Metadata, Name, Strict, Text, ToolName, unsupported
from lmcraft.server.http.protocol.invalid_values import as_api_error, unknown_call
from lmcraft.server.http.protocol.sampling import Sampling, request_field

MAX_MESSAGES = 2048
EFFORT_VARIABLES = ("reasoning_effort", "enable_thinking")
"""The variables that say to a chat template how much to think: gpt-oss's, and Qwen 3's."""
END_TAGS = tuple(form.end_tag for form in FORMATS.values())
"""The template of a model that thinks has one of them."""
BUDGET_FIELDS = ("thinking_token_budget", "thinking_budget_tokens", "thinking_budget")
"""The names of the limit of thoughts: vLLM's, llama.cpp's and Qwen's. The first one that is set applies."""
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TextPart(Strict):
    """A part of a message; only text parts are supported."""

    type: Literal["text", "input_text", "output_text"]
    text: Text
    id: Ignored = None
    index: Ignored = None
    annotations: Ignored = None
    logprobs: Ignored = None
    cache_control: Ignored = None
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

    name: ToolName
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
    reasoning: Text | None = Field(default=None, description="The same, as newer versions of vLLM name it.")
    annotations: Ignored = None
    parsed: Ignored = None
    cache_control: Ignored = None
    audio: Annotated[Any, unsupported("send its transcript as content")] = None
    function_call: Annotated[Any, unsupported("send it in tool_calls")] = None

    def unused_fields(self) -> set[str]:
        refusal = {"refusal"} if text_of(self.content or "") else set()
        return refusal | ({"reasoning"} if self.reasoning_content else set())

    @property
    def thoughts(self) -> str:
        """What the model thought before an answer."""
        return self.reasoning_content or self.reasoning or ""

    def text(self) -> str:
        """The content as one text; of a refusal, its text."""
        return text_of(self.content or "") or self.refusal or ""


def check_results(messages: Sequence[Message]) -> None:
    """Raise ApiError if the result of a call does not name an earlier call."""
    call_ids: set[str] = set()
    for n, message in enumerate(messages):
        call_ids |= {call.id for call in message.tool_calls or ()}
        if message.role != "tool":
            continue
        field = f"messages[{n}].tool_call_id"
        if message.tool_call_id is None:
            error = f"{field} is missing; send the id of the call that the message answers"
            raise ApiError(400, error, code="missing_required_parameter", param=field)
        if message.tool_call_id not in call_ids:
            raise unknown_call(field, message.tool_call_id)


class Function(Strict):
    """A function that the model may call."""

    name: ToolName
    description: Text | None = None
    parameters: dict[str, Any] | None = Field(default=None, description="A JSON schema; null: it takes no arguments.")
    strict: bool | None = None


class Tool(Strict):
    """A tool; only functions are supported."""

    type: Literal["function"]
    function: Function
    cache_control: Ignored = None

    def as_json(self) -> dict[str, Any]:
        """The tool as chat templates list it."""
        value = self.model_dump(exclude_none=True, exclude={"cache_control": True, "function": {"strict"}})
        value["function"].setdefault("parameters", {"type": "object", "properties": {}})
        return value


class NamedFunction(Strict):
    """The name of a function."""

    name: ToolName


class NamedTool(Strict):
    """`tool_choice`: the tool that the model must call."""

    type: Literal["function"]
    function: NamedFunction


class AllowedToolNames(Strict):
    """The tools that the model may call, or must call one of."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] = Field(min_length=1, max_length=128)


class AllowedTools(Strict):
    """`tool_choice`: some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedToolNames


class TemplateInput(Strict):
    """How the chat template renders messages."""

    tools: list[Tool] | None = Field(default=None, max_length=128)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, max_length=32)

    @property
    def template_variables(self) -> dict[str, Any]:
        """Further variables of the chat template."""
        return dict(self.chat_template_kwargs or {})


class ChatInput(TemplateInput):
    """Messages, and how the chat template renders them."""

    model: Name = ""
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)

    def check(self) -> None:
        """Raise ApiError for fields that contradict each other."""
        check_results(self.messages)
        if self.continue_final_message and (self.add_generation_prompt or self.messages[-1].role != "assistant"):
            raise ApiError(
                400,
                "continue_final_message=true needs an assistant message at the end, and add_generation_prompt=false",
                param="continue_final_message",
            )


class ChatRequest(Sampling, ChatInput):
    """OpenAI's chat completion request, with vLLM's extra fields."""

    prompt_field = "messages"
    max_tokens: Annotated[int | None, request_field("max_new_tokens")] = None
    max_completion_tokens: Annotated[int | None, request_field("max_new_tokens")] = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tool_choice: (
        Literal["none", "auto", "required"] | Annotated[NamedTool | AllowedTools, Field(discriminator="type")] | None
    ) = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    thinking_budget_tokens: Annotated[int | None, request_field("thinking_token_budget")] = None
    thinking_budget: Annotated[int | None, request_field("thinking_token_budget")] = None
    reasoning_format: Literal["auto", "none", "deepseek"] = Field(
        default="auto",
        description="As in llama.cpp: whether reasoning_content has the thoughts, or content has all, with its tags (none).",
    )
    echo: bool = False
    modalities: list[Literal["text"]] | None = None
    metadata: Metadata | None = None
    store: bool = False
    prediction: Ignored = None
    verbosity: Ignored = None
    functions: Annotated[Any, unsupported("use tools")] = None
    function_call: Annotated[Any, unsupported("use tool_choice")] = None

    @property
    def template_variables(self) -> dict[str, Any]:
        """Further variables of the chat template."""
        effort = self.reasoning_effort
        values = {} if effort is None else dict(zip(EFFORT_VARIABLES, (effort, effort != "none"), strict=True))
        return {**values, **super().template_variables}

    @property
    def max_new_tokens(self) -> int:
        """Maximum number of generated tokens; 0: up to the model's context."""
        return self.max_completion_tokens or self.max_tokens or 0

    @property
    def length_field(self) -> str:
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    def settings(self) -> dict[str, Any]:
        """The fields of `GenerationConfig` that the request sets."""
        settings = super().settings()
        return {**settings, "thinking_token_budget": next(iter(self._budgets.values()))} if self._budgets else settings

    @property
    def _budgets(self) -> dict[str, int]:
        """The limits of thoughts that the request sets, by field."""
        return {name: budget for name in BUDGET_FIELDS if (budget := getattr(self, name)) is not None}

    @property
    def echoed_text(self) -> str:
        """The text with which the answer begins: that of the assistant's last message, if `echo` is set."""
        return self.messages[-1].text() if self.echo and self.messages[-1].role == "assistant" else ""

    def unused_fields(self) -> set[str]:
        return set() if self.store else {"metadata"}  # a stored completion has its metadata

    def ignored_paths(self) -> Iterator[str]:
        yield from super().ignored_paths()
        if not self.forces_call:
            yield from (f"tools[{n}].function.strict" for n, tool in enumerate(self.tools or ()) if tool.function.strict)

    def template_fields(self) -> dict[str, Collection[str]]:
        """The variables that the chat template may read, by the field that sets them."""
        fields: dict[str, Collection[str]] = {}
        if self.reasoning_effort is not None:
            fields["reasoning_effort"] = EFFORT_VARIABLES
        fields |= {name: END_TAGS for name, budget in self._budgets.items() if budget >= 0}
        for n, message in enumerate(self.messages):
            if name := next((name for name in ("reasoning_content", "reasoning") if getattr(message, name)), None):
                fields[f"messages[{n}].{name}"] = ["reasoning_content"]
        return fields

    def names(self) -> dict[str, str]:
        """The fields that name the author of a message, with the role of the message."""
        roles = {"developer": "system"}
        named = [(n, message.role) for n, message in enumerate(self.messages) if message.name]
        return {f"messages[{n}].name": roles.get(role, role) for n, role in named}

    def check(self) -> None:
        ChatInput.check(self)
        Sampling.check(self)
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, f"top_logprobs={self.top_logprobs} needs logprobs=true", param="top_logprobs")
        names = [tool.function.name for tool in self.tools or ()]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ApiError(400, f"two tools have the name '{repeated}'; rename one", param="tools")
        if self.tool_choice not in (None, "none", "auto") and not names:
            raise ApiError(400, "tool_choice needs tools; give them, or leave tool_choice out", param="tool_choice")
        if missing := sorted(self._chosen_names - set(names)):
            message = f"tool_choice names '{missing[0]}', which is not among the tools; add it"
            raise ApiError(400, message, param="tool_choice")

    @property
    def _chosen_names(self) -> set[str]:
        """The tools that `tool_choice` names."""
        if isinstance(self.tool_choice, NamedTool):
            return {self.tool_choice.function.name}
        if isinstance(self.tool_choice, AllowedTools):
            return {tool.function.name for tool in self.tool_choice.allowed_tools.tools}
        return set()

    @property
    def forces_call(self) -> bool:
        """Whether the answer must be a tool call."""
        if isinstance(self.tool_choice, AllowedTools):
            return self.tool_choice.allowed_tools.mode == "required"
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @property
    def structure_field(self) -> str:
        return "tools" if self.forces_call else super().structure_field

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the prompt lists."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def callable_tools(self) -> list[Tool]:
        """The tools that the answer may call."""
        if self.has_structure and not self.forces_call:  # the answer is the structure itself
            return []
        names = self._chosen_names
        return [tool for tool in self.offered_tools if not names or tool.function.name in names]


@contextmanager
def translated_request() -> Iterator[None]:
    """In the context, a request to another endpoint becomes a chat completion.

    Raises:
        ApiError: a value is valid there, and not here, such as too many calls in one message.
    """
    try:
        yield
    except ValidationError as error:
        errors = [{**item, "loc": ("chat", *item["loc"])} for item in error.errors(include_url=False)]
        raise as_api_error(errors, None) from error
