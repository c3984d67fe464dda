"""Starts the answer to a chat, and divides what is generated into thoughts, text and calls, for all endpoints that chat."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import Request

from lmcraft.inference.continuation import Token
from lmcraft.inference.thoughts import ThoughtParser
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.request_builder import PreparedRequest, build_chat, encode_conversation, encode_newest_turns
from lmcraft.server.http.state import Generation, prepare_in_thread, server_state, start_generation
from lmcraft.server.http.tool_calls import Call, CallFormat, ToolParser, allows_repeated_items
from lmcraft.server.moderation.guard import JudgedPrompt
from lmcraft.server.moderation.held_answer import Piece
from lmcraft.tokenizer.chat_template import find_named_roles


async def start_answer(
    request: Request,
    chat: ChatRequest,
    template_fields: Mapping[str, Collection[str]],
    *,
    names: Mapping[str, str] | None = None,
    drops_old_turns: bool = False,
    judged: JudgedPrompt | None = None,
) -> Generation:
    """Start to generate the answer to a chat, and list among the ignored fields those that its template does not read.

    Args:
        request: the HTTP request.
        chat: the chat completion, or another request in its form.
        template_fields: the variables that the template may read, by the field of the original request that sets them.
        names: the fields that name the author of a message, with the role of the message.
        drops_old_turns: leave out the oldest turns of a conversation that is too long for the model's context.
        judged: the prompt, if a policy judges it and its answers.

    Raises:
        ApiError, UserError: as in `start_generation`.
    """
    limits, owner, documents = server_state(request).limits, request.state.owner, server_state(request).documents

    def prepare(served: ServedModel) -> PreparedRequest:
        grounded, citations = (chat, ()) if documents is None else documents.ground(chat)
        prepared = build_chat(served, grounded, owner, limits, drops_old_turns=drops_old_turns)
        prepared = replace(prepared, citations=citations)
        tokenizer = served.language_model.tokenizer
        template = tokenizer.chat_template or ""
        unread = [path for path, variables in template_fields.items() if not any(name in template for name in variables)]
        unread += [
            path for path, role in (names or {}).items() if role not in find_named_roles(tokenizer.apply_chat_template)
        ]
        if chat.forces_call:
            loose = [
                n for n, tool in enumerate(chat.tools or ()) if tool in chat.callable_tools and allows_repeated_items(tool)
            ]
            unread += [f"tools[{n}] uniqueItems" for n in loose]
        request.state.ignored_fields += unread
        return prepared

    return await start_generation(request, chat.model, prepare, judged)


async def count_chat_tokens(request: Request, chat: ChatRequest, *, drops_old_turns: bool = False) -> int:
    """The number of tokens of a request's prompt; the arguments are those of `start_answer`.

    Raises:
        ApiError, UserError: the request is invalid for this model; the client disconnected.
    """
    served = await server_state(request).get_model(chat.model)
    encode = encode_newest_turns if drops_old_turns else encode_conversation
    return len(await prepare_in_thread(request, lambda: encode(served, chat, chat.offered_tools)))


@dataclass
class ChatChoice:
    """One of the answers in progress."""

    parser: ToolParser | None
    """None if the answer is text alone."""
    thought_parser: ThoughtParser | None = None
    """None if there are no thoughts to tell apart."""
    hidden_tags: Mapping[int, str] = field(default_factory=dict)
    """Tags that are special tokens, which decoding leaves out."""
    begun: str = ""
    """The text of the request with which the answer begins."""
    has_sent_begun: bool = False
    thoughts: str = ""
    thought_tokens: int = 0
    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    refusal: str | None = None
    """What the client reads in place of the rest, if the policy refuses it."""
    last_token: Token | None = None

    @classmethod
    def start(cls, body: ChatRequest, generation: Generation) -> "ChatChoice":
        tokenizer, thinking = generation.served.model.tokenizer, generation.prepared.thinking
        begun, thought_parser = body.echoed_text, None
        if thinking is not None and body.reasoning_format != "none":
            thought_parser = ThoughtParser(thinking.form, is_open=thinking.is_open)
        hidden_tags = {} if thought_parser is None else thought_parser.hidden_tags(tokenizer)
        if not (names := [tool.function.name for tool in body.callable_tools]):
            return cls(None, thought_parser, hidden_tags, begun)
        call_format = CallFormat.of(tokenizer)
        max_calls = 1 if body.parallel_tool_calls is False else sys.maxsize
        parser = ToolParser(names, call_format.new_id, is_forced=body.forces_call, max_calls=max_calls)
        return cls(parser, thought_parser, {**hidden_tags, **call_format.hidden_tags}, begun)

    def add(self, piece: Piece) -> tuple[str, str, list[Call]]:
        """Add what follows; returns the thoughts, the text and the calls that it completes.

        A refusal is no part of the text. What it cuts off, such as a call, is left out.
        """
        thoughts, text = self._divide(piece)
        calls: list[Call] = []
        if self.parser is not None:
            text, calls = self.parser.put(text)
        self.finish_reason, self.refusal = piece.finish_reason, piece.refusal
        if self.finish_reason is not None and self.refusal is None and self.parser is not None:
            last_text, last_calls = self.parser.end()
            text, calls = text + last_text, calls + last_calls
            if self.parser.calls and not self.parser.calls[-1].is_cut:
                self.finish_reason = "tool_calls"
        self.thoughts += thoughts
        self.text += text
        self.last_token = piece.last_token
        self.token_ids += [token.id for token in piece.tokens]
        return thoughts, text, calls

    @property
    def shown_begun(self) -> str:
        """The begun text; nothing of it if the answer is a refusal alone."""
        return self.begun if self.refusal is None or self.text else ""

    def take_begun(self) -> str:
        """The begun text as a stream shows it, once."""
        has_sent, self.has_sent_begun = self.has_sent_begun, True
        return "" if has_sent else self.shown_begun

    @property
    def refusal_paragraph(self) -> str:
        """The refusal, if there is one, as it follows the text in the content of a message."""
        is_alone = not (self.shown_begun + self.text).strip()
        return f"\n\n{self.refusal}" if self.refusal and not is_alone else self.refusal or ""

    def _divide(self, piece: Piece) -> tuple[str, str]:
        """A piece's text, divided into thoughts and the rest."""
        texts = [self.hidden_tags.get(token.id, "") + token.text for token in piece.tokens]
        if self.thought_parser is None:
            return "", "".join(texts)
        thoughts, text = "", ""
        for token_text in texts:
            new_thoughts, new_text = self.thought_parser.put(token_text)
            self.thought_tokens += bool(new_thoughts) or self.thought_parser.is_thinking
            thoughts, text = thoughts + new_thoughts, text + new_text
        if piece.finish_reason is not None and piece.refusal is None:
            last_thoughts, last_text = self.thought_parser.end()
            thoughts, text = thoughts + last_thoughts, text + last_text
        return thoughts, text
