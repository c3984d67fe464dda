"""The request body of `/v1/responses`, and its translation to a chat completion."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import IGNORED, Ignored, Metadata, Name, Strict, Text, ToolName, unsupported
from lmcraft.server.http.protocol.chat import (
    EFFORT_VARIABLES,
    MAX_MESSAGES,
    AllowedToolNames,
    AllowedTools,
    ChatRequest,
    Effort,
    Function,
    NamedFunction,
    NamedTool,
    Tool,
    translated_request,
)
from lmcraft.server.http.protocol.items import InputItem, InputReasoning, as_messages, check_results, is_unfinished
from lmcraft.server.http.protocol.sampling import Decoding, JsonSchema, ResponseFormat, StreamOptions

LOGPROBS = "message.output_text.logprobs"
FIELD_NAMES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format.json_schema.schema": "text.format.schema",
    "response_format.json_schema": "text.format.schema",
    "response_format": "text.format",
}
"""How this endpoint names the fields of a chat completion."""
Includable = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]


class FlatTool(Strict):
    """A function tool, whose fields are not nested under `function` as in chat completions."""

    type: Literal["function"]
    name: ToolName
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: Ignored = None

    def as_tool(self) -> Tool:
        """The tool of a chat completion."""
        fields = self.model_dump(include={"name", "description", "parameters", "strict"}, exclude_none=True)
        return Tool(type="function", function=Function(**fields))

    def as_json(self) -> dict[str, Any]:
        """The tool as the response repeats it."""
        return {**self.model_dump(include={"type", "name", "description", "parameters"}), "strict": bool(self.strict)}


class NamedFlatTool(Strict):
    """`tool_choice`: the tool that the model must call."""

    type: Literal["function"]
    name: ToolName

    def as_named_tool(self) -> NamedTool:
        """The same field of a chat completion."""
        return NamedTool(type="function", function=NamedFunction(name=self.name))


class FlatAllowedTools(Strict):
    """`tool_choice`: the tools that the model may call, or must call one of."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedFlatTool] = Field(min_length=1, max_length=128)


class TextFormat(Strict):
    """The field `text.format`."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Name = "answer"
    description: Ignored = None
    strict: bool | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")

    def unused_fields(self) -> set[str]:
        return set() if self.type == "json_schema" else {"schema_"}


class TextSettings(Strict):
    """The field `text`."""

    format: TextFormat | None = None
    verbosity: Annotated[Literal["low", "medium", "high"] | None, IGNORED] = None


class Reasoning(Strict):
    """The field `reasoning`."""

    effort: Effort | None = None
    summary: Ignored = None
    generate_summary: Ignored = None
    context: Ignored = None
    mode: Ignored = None


class ResponsesInput(Strict):
    """The conversation of a Responses request, and what the chat template needs beside it."""

    model: Name = ""
    input: Text | Annotated[list[InputItem], Field(max_length=MAX_MESSAGES)] | None = None
    instructions: Text | None = None
    previous_response_id: Name | None = None
    text: TextSettings | None = None
    reasoning: Reasoning | None = None
    tools: list[FlatTool] | None = Field(default=None, max_length=128)
    tool_choice: (
        Literal["none", "auto", "required"] | Annotated[NamedFlatTool | FlatAllowedTools, Field(discriminator="type")] | None
    ) = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    conversation: Annotated[Any, unsupported("use previous_response_id")] = None

    def input_items(self) -> list[InputItem]:
        """The input as items."""
        if isinstance(self.input, str):
            return parse_items([{"type": "message", "role": "user", "content": self.input}])
        return self.input or []

    def as_chat(self, items: Sequence[InputItem]) -> ChatRequest:
        """The same request as a chat completion.

        Args:
            items: the whole conversation: of the responses that it continues, and its own, without references.

        Raises:
            ApiError: it has no input, or too much; a field contradicts another.
        """
        if not items:
            raise ApiError(400, "the input is empty; send a text or items", code="invalid_value", param="input")
        num_earlier = len(items) - len(self.input_items())
        check_results(items, num_earlier)
        continues = is_unfinished(items[-1])
        with translated_request():
            return ChatRequest(
                model=self.model,
                messages=as_messages(items, self.instructions),
                add_generation_prompt=not continues,
                continue_final_message=continues,
                reasoning_effort=self.reasoning.effort if self.reasoning is not None else None,
                response_format=self._response_format(),
                tools=[tool.as_tool() for tool in self.tools or ()] or None,
                tool_choice=self._chat_tool_choice(),
                parallel_tool_calls=self.parallel_tool_calls,
                **self._generation_fields(),
            )

    def template_fields(self) -> dict[str, Collection[str]]:
        """The variables that the chat template may read, by the field that sets them."""
        fields: dict[str, Collection[str]] = {}
        if self.reasoning is not None and self.reasoning.effort is not None:
            fields["reasoning.effort"] = EFFORT_VARIABLES
        thoughts = [n for n, item in enumerate(self.input_items()) if isinstance(item, InputReasoning)]
        return fields | {f"input[{n}]": ["reasoning_content"] for n in thoughts}

    @property
    def forces_call(self) -> bool:
        """Whether the answer must be a call."""
        choice = self.tool_choice
        return choice.mode == "required" if isinstance(choice, FlatAllowedTools) else choice not in (None, "none", "auto")

    def ignored_paths(self) -> Iterator[str]:
        yield from super().ignored_paths()
        if not self.forces_call:
            yield from (f"tools[{n}].strict" for n, tool in enumerate(self.tools or ()) if tool.strict)

    def _generation_fields(self) -> dict[str, Any]:
        """The fields of the chat completion that say how to generate."""
        return {}

    def _chat_tool_choice(self) -> Any:
        """The chat completion's `tool_choice`."""
        choice = self.tool_choice
        if isinstance(choice, NamedFlatTool):
            return choice.as_named_tool()
        if isinstance(choice, FlatAllowedTools):
            names = AllowedToolNames(mode=choice.mode, tools=[tool.as_named_tool() for tool in choice.tools])
            return AllowedTools(type="allowed_tools", allowed_tools=names)
        return choice

    def _response_format(self) -> ResponseFormat | None:
        text_format = self.text.format if self.text is not None else None
        if text_format is None:
            return None
        if text_format.type != "json_schema":
            return ResponseFormat(type=text_format.type)
        if text_format.schema_ is None:
            message = "text.format.schema is missing; give the JSON schema of the answer"
            raise ApiError(400, message, code="missing_required_parameter", param="text.format.schema")
        schema = JsonSchema(name=text_format.name, schema=text_format.schema_)
        return ResponseFormat(type="json_schema", json_schema=schema)


class ResponsesRequest(Decoding, ResponsesInput):
    """OpenAI's Responses request, with vLLM's extra fields."""

    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[Includable] | None = Field(default=None, max_length=32)
    metadata: Metadata | None = None
    store: bool = True
    stream_options: StreamOptions | None = None
    max_tool_calls: Ignored = None
    access_programs: Ignored = None
    background_options: Ignored = None
    image: Ignored = None
    prompt_cache_options: Ignored = None
    background: Annotated[Any, unsupported("leave it out, and wait for the response")] = None
    context_management: Annotated[Any, unsupported("set truncation='auto'")] = None
    moderation: Annotated[Any, unsupported("use /v1/moderations")] = None
    prompt: Annotated[Any, unsupported("send its text as instructions and input")] = None

    @property
    def logprobs(self) -> bool:
        """Whether the response has the tokens' log-probabilities."""
        return bool(self.top_logprobs) or LOGPROBS in (self.include or ())

    def _generation_fields(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in Decoding.model_fields if name not in ("model", "metadata")},
            "max_tokens": self.max_output_tokens,
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
            "stream_options": self.stream_options if self.stream else None,
        }

    def unused_fields(self) -> set[str]:
        include = {"include"} if set(self.include or ()) - {LOGPROBS} else set()
        return include if self.stream else include | {"stream_options"}


_ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(list[InputItem])


def parse_items(items: Sequence[Any]) -> list[InputItem]:
    """Items that the server has stored or made, as objects."""
    return _ITEMS.validate_python(list(items))
