"""Chat templates: Jinja programs that turn messages into a prompt.

A template is untrusted code, so it runs in Jinja's immutable sandbox, with limits on time and size (`sandbox.py`). It gets
the same variables and filters as in transformers' `apply_chat_template`, which template authors test against.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NoReturn
from uuid import uuid4

from lmcraft.errors import UserError


def render(template: str, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None = None) -> str:
    """Render a chat template.

    Raises:
        UserError: the template is broken, or rejects these messages (for example, roles that do not alternate).
    """
    from lmcraft.tokenizer.sandbox import BUDGET, Budget  # imports Jinja, which most uses of a tokenizer do not need

    token = BUDGET.set(Budget())
    try:
        text: str = _compile(template).render({**(variables or {}), "messages": messages})
    except RecursionError as error:
        raise UserError("the chat template cannot render these messages: it recurses too deeply") from error
    except Exception as error:  # a template is a program, which may fail in any way; compiling one can be a SyntaxError
        refused = type(error).__name__ == "TemplateError"  # by `raise_exception`; Jinja's own errors are subclasses
        remedy = _explain_system_message(template, messages, variables) if refused else ""
        message = f"the chat template cannot render these messages: {error}{remedy}"
        code = "no_system_message" if remedy else "template_failed"
        raise UserError(message, code=code, values={"reason": str(error)}) from error
    finally:
        BUDGET.reset(token)
    return text


def _explain_system_message(
    template: str, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None
) -> str:
    """The remedy for messages that cannot be rendered, if that is because of a system message; else ""."""
    others = [message for message in messages if message.get("role") != "system"]
    if len(others) == len(messages) or not others:
        return ""
    try:
        render(template, others, variables)
    except UserError:
        return ""
    return ": leave the system message out (in `lmcraft chat`, --system), or write its text into the first question"


def render_unfinished(
    template: str, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None = None
) -> str:
    """Render a conversation up to the last character of its last message, so that the model continues this message.

    Raises:
        UserError: as in `render`; the last message has no text, or the template does not keep all of it. White space may
            change.
    """
    marker = uuid4().hex  # a search for the message's own text may find it in the template's ending
    if not messages or (marked := _append_text(messages[-1], marker)) is None:
        raise UserError("continue_final_message=true needs text to continue: give the last message some content")
    text, separator, _ = render(template, [*messages[:-1], marked], variables).rpartition(marker)
    text = text.replace(marker, "")  # of a template that shows the message more than once
    if not separator or not "".join(text.split()).endswith("".join(_last_text(messages[-1]).split())):
        raise UserError(
            "continue_final_message=true needs a chat template that keeps the whole text of the last message, and this one "
            "drops or rewrites a part of it: leave that part out, such as thoughts that end with </think>"
        )
    return text


def find_turn_end(render_conversation: Callable[..., str], special_tokens: Collection[str]) -> str:
    """The special token that a chat template puts after an answer; empty if there is none.

    Args:
        render_conversation: `Tokenizer.apply_chat_template`.
        special_tokens: of the tokenizer.
    """
    answer = "zq-answer-qz"  # which no template contains
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": answer}]
    try:
        before, _, after = render_conversation(messages, add_generation_prompt=False).rpartition(answer)
    except UserError:  # no template, or one for other conversations
        return ""
    ends = [token for token in special_tokens if after.lstrip().startswith(token)]
    if starts := {before.find(token): token for token in special_tokens if token in before}:
        ends = [token for token in ends if token != starts[min(starts)]]  # a template may begin another turn at once
    return max(ends, key=len, default="")


@lru_cache(maxsize=16)
def find_named_roles(render_conversation: Callable[..., str]) -> frozenset[str]:
    """The roles of which a chat template shows the `name` of a message.

    Args:
        render_conversation: `Tokenizer.apply_chat_template`.
    """
    name = "zq-name-qz"  # which no template contains
    call = {"id": "probe0000", "type": "function", "function": {"name": "probe", "arguments": {}}}
    asking, answering = {"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}
    conversations: dict[str, list[dict[str, Any]]] = {
        "system": [{"role": "system", "content": "text"}, asking],
        "user": [asking],
        "assistant": [asking, answering],
        "tool": [asking, {**answering, "tool_calls": [call]}, {"role": "tool", "content": "4", "tool_call_id": "probe0000"}],
    }

    def shows_name(role: str) -> bool:
        messages = [{**message, "name": name} if message["role"] == role else message for message in conversations[role]]
        try:
            return name in render_conversation(messages, add_generation_prompt=False, spell_out_tools=True)
        except UserError:  # no template, or one for other conversations
            return False

    return frozenset(role for role in conversations if shows_name(role))


def _last_text(message: Mapping[str, Any]) -> str:
    """The text that `_append_text` adds to."""
    content = message["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


def _append_text(message: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    """The message with more text at its end; None if it has no text yet."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": content + text} if content.strip() else None
    if not isinstance(content, list) or not content or not isinstance(last := content[-1], dict):
        return None
    if not str(last.get("text") or "").strip():
        return None
    return {**message, "content": [*content[:-1], {**last, "text": last["text"] + text}]}


@lru_cache(maxsize=16)
def _compile(template: str) -> Any:
    return _environment().from_string(template)


@cache
def _environment() -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser

    from lmcraft.tokenizer.sandbox import LimitedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text for training; its body is rendered unchanged."""

        tags = {"generation"}  # noqa: RUF012 - Jinja reads the attribute from the class

        def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    environment = LimitedEnvironment(
        {"tojson": to_json},  # Jinja's own filter escapes <, > and & for HTML
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, loopcontrols],
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
