"""`/v1/responses`: the part of OpenAI's newer endpoint that a server without memory can keep."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmcraft.server.http.protocol.chat import (
    MOST_MESSAGES,
    ChatRequest,
    Function,
    FunctionCall,
    Message,
    NamedFunction,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
)
from lmcraft.server.http.protocol.sampling import (
    JsonSchema,
    Name,
    ResponseFormat,
    StreamOptions,
    Strict,
    Text,
    request_field,
)


class _Item(Strict):
    """What every item of an input list may have; nothing here needs it."""

    id: Name | None = None
    status: Name | None = None


class InputMessage(_Item):
    """A message, as OpenAI's input lists hold it."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]


class InputCall(_Item):
    """A call that the model made before."""

    type: Literal["function_call"]
    call_id: Name
    name: Name
    arguments: Text


class InputResult(_Item):
    """What the call came to."""

    type: Literal["function_call_output"]
    call_id: Name
    output: Text


class FlatTool(Strict):
    """A function, without the level that chat completions have."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFlatTool(Strict):
    """The one tool that is to be called."""

    type: Literal["function"]
    name: Name


class TextFormat(Strict):
    """`text.format`."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Name = "answer"
    description: Text | None = None
    strict: bool | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class TextSettings(Strict):
    """`text`."""

    format: TextFormat | None = None


class ResponsesRequest(Strict):
    """OpenAI's request. `store` and `previous_response_id` need a memory, which this server's API has not."""

    model: Name = ""
    input: Text | Annotated[list[InputCall | InputResult | InputMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    instructions: Text | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    temperature: Annotated[float | None, request_field("temperature")] = None
    top_p: Annotated[float | None, request_field("top_p")] = None
    stream: bool = False
    text: TextSettings | None = None
    tools: list[FlatTool] | None = Field(default=None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedFlatTool | None = None
    parallel_tool_calls: bool | None = None
    store: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    user: Name | None = None

    def as_chat(self) -> ChatRequest:
        """The same request as a chat completion."""
        chosen = self.tool_choice
        named = (
            NamedTool(type="function", function=NamedFunction(name=chosen.name))
            if isinstance(chosen, NamedFlatTool)
            else None
        )
        sampling: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p}
        return ChatRequest(
            model=self.model,
            messages=self._messages(),
            max_tokens=self.max_output_tokens,
            **sampling,
            stream=self.stream,
            stream_options=StreamOptions(include_usage=True) if self.stream else None,
            response_format=self._format(),
            tools=[_tool(tool) for tool in self.tools] if self.tools else None,
            tool_choice=named or (chosen if isinstance(chosen, str) else None),
            parallel_tool_calls=self.parallel_tool_calls,
            user=self.user,
        )

    def _messages(self) -> list[Message]:
        messages = [Message(role="system", content=self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*messages, Message(role="user", content=self.input)]
        for item in self.input:
            match item:
                case InputMessage():
                    messages.append(Message(role=item.role, content=item.content))
                case InputCall():
                    call = ToolCall(id=item.call_id, function=FunctionCall(name=item.name, arguments=item.arguments))
                    messages.append(Message(role="assistant", tool_calls=[call]))
                case InputResult():
                    messages.append(Message(role="tool", content=item.output, tool_call_id=item.call_id))
        return messages

    def _format(self) -> ResponseFormat | None:
        form = self.text.format if self.text is not None else None
        if form is None or form.type != "json_schema":
            return None if form is None else ResponseFormat(type=form.type)
        return ResponseFormat(type="json_schema", json_schema=JsonSchema(name=form.name, schema=form.schema_ or {}))


def _tool(tool: FlatTool) -> Tool:
    said = tool.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
    return Tool(type="function", function=Function(**said))
