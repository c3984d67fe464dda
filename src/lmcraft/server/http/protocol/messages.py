"""The request bodies of `/v1/messages`, in Anthropic's form, and their translation to a chat completion."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import IGNORED, Ignored, Name, StopText, Strict, Text, ToolName, unsupported
from lmcraft.server.http.protocol.chat import (
    EFFORT_VARIABLES,
    END_TAGS,
    MAX_MESSAGES,
    ChatRequest,
    Function,
    FunctionCall,
    Message,
    NamedFunction,
    NamedTool,
    Tool,
    ToolCall,
    translated_request,
)
from lmcraft.server.http.protocol.invalid_values import unknown_call
from lmcraft.server.http.protocol.sampling import Decoding, JsonSchema, ResponseFormat, request_field

FIELD_NAMES = {
    "response_format.json_schema.schema": "output_config.format.schema",
    "response_format.json_schema": "output_config.format.schema",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
"""How this endpoint names the fields of a chat completion."""
BILLING_HEADER = "x-anthropic-billing-header:"
"""How a text begins that Anthropic's own server takes out of the system prompt. It changes with every request, so that no
prompt would be found in the cache."""
NonEmptyName = Annotated[Name, Field(min_length=1)]


class TextBlock(Strict):
    """A text."""

    type: Literal["text"]
    text: Text
    cache_control: Ignored = None
    citations: Ignored = None
    parsed_output: Ignored = None


class ToolUse(Strict):
    """A call that the model made earlier."""

    type: Literal["tool_use"]
    id: NonEmptyName
    name: ToolName
    input: dict[str, Any]
    cache_control: Ignored = None
    caller: Ignored = None
    toolset_name: Ignored = None


class ToolResult(Strict):
    """The result of a call."""

    type: Literal["tool_result"]
    tool_use_id: NonEmptyName
    content: Text | list[TextBlock] = ""
    is_error: bool = False
    cache_control: Ignored = None
    toolset_name: Ignored = None

    def text(self) -> str:
        """The result as one text, which says so if the call failed."""
        text = join_texts(self.content)
        return f"Error: {text}" if self.is_error else text


class Thinking(Strict):
    """What the model thought before an answer; templates may show it as `reasoning_content`."""

    type: Literal["thinking"]
    thinking: Text
    signature: Ignored = None


class RedactedThinking(Strict):
    """Thinking that only Anthropic's own server can read; it is left out."""

    type: Literal["redacted_thinking"]
    data: Annotated[Text, IGNORED]


Block = Annotated[TextBlock | ToolUse | ToolResult | Thinking | RedactedThinking, Field(discriminator="type")]

BLOCK_ROLES = {
    "tool_use": "assistant",
    "tool_result": "user",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
}
"""The role of the messages in which a block may stand."""


class InputMessage(Strict):
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: Text | list[Block]

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        for block in self.blocks():
            if (role := BLOCK_ROLES.get(block.type, self.role)) != self.role:
                raise ValueError(f"{block.type} belongs in a message with the role '{role}'")
        return self

    def blocks(self) -> list[Block]:
        """The content as blocks."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class InputTool(Strict):
    """A tool that the client runs."""

    type: Literal["custom"] = "custom"
    name: ToolName
    description: Text | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    allowed_callers: Ignored = None
    cache_control: Ignored = None
    defer_loading: Ignored = None
    eager_input_streaming: Ignored = None
    input_examples: Ignored = None

    def as_tool(self) -> Tool:
        """The tool of a chat completion."""
        schema = {"type": "object", **self.input_schema}
        function = Function(name=self.name, description=self.description, parameters=schema, strict=self.strict)
        return Tool(type="function", function=function)


class ToolChoice(Strict):
    """Which tools the model may or must use."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(Strict):
    """Whether the model thinks before it answers; templates may read it as `enable_thinking`."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: Annotated[int | None, request_field("thinking_token_budget")] = None
    display: Ignored = None


class OutputFormat(Strict):
    """A JSON schema of the answer."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Strict):
    """The field `output_config`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class MessagesInput(Strict):
    """A conversation, and what the chat template needs beside it."""

    model: Name = ""
    messages: list[InputMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    system: Text | list[TextBlock] | None = None
    tools: list[InputTool] | None = Field(default=None, max_length=128)
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: Ignored = None
    context_management: Ignored = None
    billing_policy: Ignored = None
    thread: Any = Field(default=None, description="Not supported; send the whole conversation in messages.")
    compaction: Annotated[Any, unsupported("shorten messages in the client")] = None
    container: Annotated[Any, unsupported("leave it out")] = None
    mcp_servers: Annotated[Any, unsupported("run the tools in the client, and send them in tools")] = None

    def as_chat(self) -> ChatRequest:
        """The same request as a chat completion. Text of the assistant at the end is continued.

        Raises:
            ApiError: a field contradicts another.
        """
        if self.thread is not None:  # Anthropic's clients read this code, and go on without a thread
            message = "thread is not supported; send the whole conversation in messages"
            raise ApiError(400, message, code="thread_unsupported_request", param="thread")
        output_config = self.output_config or OutputConfig()
        output_format = None
        if output_config.format is not None:
            schema = JsonSchema(schema=output_config.format.schema_)
            output_format = ResponseFormat(type="json_schema", json_schema=schema)
        thinking, generation_fields = self.thinking, self._generation_fields()
        if thinking is not None and thinking.type == "enabled" and thinking.budget_tokens is not None:
            generation_fields["thinking_token_budget"] = thinking.budget_tokens
        choice = self.tool_choice or ToolChoice(type="auto")
        with translated_request():
            messages = self._chat_messages()
            continues = messages[-1].role == "assistant"
            return ChatRequest(
                model=self.model,
                messages=messages,
                add_generation_prompt=not continues,
                continue_final_message=continues,
                reasoning_effort=output_config.effort,
                chat_template_kwargs=None if thinking is None else {"enable_thinking": thinking.type != "disabled"},
                response_format=output_format,
                tools=[tool.as_tool() for tool in self.tools or ()] or None,
                tool_choice=_chat_tool_choice(choice),
                parallel_tool_calls=False if choice.disable_parallel_tool_use else None,
                **generation_fields,
            )

    def template_fields(self) -> dict[str, Collection[str]]:
        """The variables that the chat template may read, by the field that sets them."""
        fields: dict[str, Collection[str]] = {}
        if self.thinking is not None:
            fields["thinking"] = ["enable_thinking"]
            if self.thinking.type == "enabled" and self.thinking.budget_tokens is not None:
                fields["thinking.budget_tokens"] = END_TAGS
        if self.output_config is not None and self.output_config.effort is not None:
            fields["output_config.effort"] = EFFORT_VARIABLES
        for n, message in enumerate(self.messages):
            thoughts = [m for m, block in enumerate(message.blocks()) if isinstance(block, Thinking)]
            fields |= {f"messages[{n}].content[{m}]": ["reasoning_content"] for m in thoughts}
        return fields

    def ignored_paths(self) -> Iterator[str]:
        yield from super().ignored_paths()
        if self.tool_choice is None or self.tool_choice.type in ("auto", "none"):
            yield from (f"tools[{n}].strict" for n, tool in enumerate(self.tools or ()) if tool.strict)

    def _generation_fields(self) -> dict[str, Any]:
        """The fields of the chat completion that say how to generate."""
        return {}

    def _chat_messages(self) -> list[Message]:
        """The conversation as messages of a chat completion; consecutive turns of one side are one message."""
        self._check_results()
        texts = [TextBlock(type="text", text=self.system)] if isinstance(self.system, str) else self.system or []
        system = [InputMessage(role="system", content=[*texts])] if texts else []
        turns: list[tuple[str, list[Block]]] = []
        for message in (*system, *self.messages):
            blocks = [block for block in message.blocks() if not _is_billing_header(message.role, block)]
            if message.role == "system" and not blocks:
                continue
            if not turns or turns[-1][0] != message.role:
                turns.append((message.role, []))
            turns[-1][1].extend(blocks)
        messages = [message for role, blocks in turns for message in _turn_messages(role, blocks)]
        if messages and messages[-1].role == "assistant" and not (messages[-1].tool_calls or messages[-1].text().strip()):
            messages.pop()  # nothing to continue
        if not messages:
            raise ApiError(400, "messages has no text; send one", code="invalid_value", param="messages")
        if messages[-1].tool_calls:
            remedy = "send the tool_result of each call in a message of the user after it"
            raise ApiError(400, f"the last message has tool_use; {remedy}", code="invalid_value", param="messages")
        return messages

    def _check_results(self) -> None:
        """Raise ApiError if the result of a call does not name a call of the turn before it."""
        call_ids: set[str] = set()
        role = "user"
        for n, message in enumerate(self.messages):
            if message.role == "assistant" and role == "user":
                call_ids = set()
            role = message.role if message.role != "system" else role
            for m, block in enumerate(message.blocks()):
                if isinstance(block, ToolUse):
                    call_ids.add(block.id)
                elif isinstance(block, ToolResult) and block.tool_use_id not in call_ids:
                    raise unknown_call(f"messages[{n}].content[{m}].tool_use_id", block.tool_use_id)


class MessagesRequest(Decoding, MessagesInput):
    """Anthropic's request for a message, with the samplers that all endpoints have."""

    max_tokens: int = Field(ge=1, lt=2**31)
    stop_sequences: list[StopText] | None = Field(default=None, max_length=SETTINGS["stop"].max_items)
    diagnostics: Ignored = None
    inference_geo: Ignored = None
    speed: Ignored = None
    user_profile_id: Ignored = None
    workspace_id: Ignored = None

    def _generation_fields(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in Decoding.model_fields if name not in ("model", "metadata")}
        return {**fields, "max_tokens": self.max_tokens, "stop": self.stop_sequences or fields["stop"]}


def _is_billing_header(role: str, block: Block) -> bool:
    return role == "system" and isinstance(block, TextBlock) and block.text.startswith(BILLING_HEADER)


def join_texts(content: str | Sequence[TextBlock]) -> str:
    """The texts of a content, on lines of their own unless white space already separates them."""
    if isinstance(content, str):
        return content
    joined = ""
    for block in content:
        separated = not joined or joined[-1].isspace() or block.text[:1].isspace()
        joined += block.text if separated else f"\n{block.text}"
    return joined


def _turn_messages(role: str, blocks: Sequence[Block]) -> list[Message]:
    """One turn as messages: what the assistant did is one message, each result of a call another."""
    texts = [block for block in blocks if isinstance(block, TextBlock)]
    if role == "assistant":
        calls = [
            ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=json.dumps(block.input)))
            for block in blocks
            if isinstance(block, ToolUse)
        ]
        thinking = "".join(block.thinking for block in blocks if isinstance(block, Thinking))
        text = "".join(block.text for block in texts)
        return [Message(role="assistant", content=text, tool_calls=calls or None, reasoning_content=thinking or None)]
    results = [
        Message(role="tool", content=block.text(), tool_call_id=block.tool_use_id)
        for block in blocks
        if isinstance(block, ToolResult)
    ]
    if not texts and results:
        return results
    return [*results, Message(role="system" if role == "system" else "user", content=join_texts(texts))]


def _chat_tool_choice(choice: ToolChoice) -> Any:
    """The chat completion's `tool_choice`."""
    if choice.type != "tool":
        return {"any": "required"}.get(choice.type, choice.type)
    if choice.name is None:
        message = "tool_choice.name is missing; name the tool"
        raise ApiError(400, message, code="missing_required_parameter", param="tool_choice.name")
    return NamedTool(type="function", function=NamedFunction(name=choice.name))
