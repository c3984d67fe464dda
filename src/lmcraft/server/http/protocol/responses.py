"""The request body of `/v1/responses`: the stateless part of OpenAI's newer endpoint."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict, Text
from lmcraft.server.http.protocol.chat import (
    MAX_MESSAGES,
    ChatRequest,
    Function,
    FunctionCall,
    Message,
    NamedFunction,
    NamedTool,
    Part,
    Tool,
    ToolCall,
)
from lmcraft.server.http.protocol.sampling import JsonSchema, ResponseFormat, StreamOptions, request_field


class _Item(Strict):
    """The fields that every item of an input list may have; they are ignored."""

    id: Name | None = None
    status: Name | None = None


class InputMessage(_Item):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[Part]


class InputCall(_Item):
    """A call that the model made earlier."""

    type: Literal["function_call"]
    call_id: Name
    name: Name
    arguments: Text


class InputResult(_Item):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: Name
    output: Text


class FlatTool(Strict):
    """A function tool, whose fields are not nested under `function` as in chat completions."""

    type: Literal["function"]
    name: Name
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFlatTool(Strict):
    """`tool_choice`: the tool that the model must call."""

    type: Literal["function"]
    name: Name


class TextFormat(Strict):
    """The field `text.format`."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Name = "answer"
    description: Text | None = None
    strict: bool | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class TextSettings(Strict):
    """The field `text`."""

    format: TextFormat | None = None


class ResponsesRequest(Strict):
    """OpenAI's Responses request. The server stores no responses: no `store`, no `previous_response_id`."""

    model: Name = ""
    input: Text | Annotated[list[InputCall | InputResult | InputMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
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
        tool_choice: Literal["none", "auto", "required"] | NamedTool | None
        if isinstance(self.tool_choice, NamedFlatTool):
            tool_choice = NamedTool(type="function", function=NamedFunction(name=self.tool_choice.name))
        else:
            tool_choice = self.tool_choice
        sampling: dict[str, Any] = {"temperature": self.temperature, "top_p": self.top_p}
        return ChatRequest(
            model=self.model,
            messages=self._messages(),
            max_tokens=self.max_output_tokens,
            **sampling,
            stream=self.stream,
            stream_options=StreamOptions(include_usage=True) if self.stream else None,
            response_format=self._response_format(),
            tools=[_tool(tool) for tool in self.tools] if self.tools else None,
            tool_choice=tool_choice,
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

    def _response_format(self) -> ResponseFormat | None:
        text_format = self.text.format if self.text is not None else None
        if text_format is None:
            return None
        if text_format.type != "json_schema":
            return ResponseFormat(type=text_format.type)
        schema = JsonSchema(name=text_format.name, schema=text_format.schema_ or {})
        return ResponseFormat(type="json_schema", json_schema=schema)


def _tool(tool: FlatTool) -> Tool:
    fields = tool.model_dump(include={"name", "description", "parameters"}, exclude_none=True)
    return Tool(type="function", function=Function(**fields))
