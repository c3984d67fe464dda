"""Chat templates: Jinja programs that turn messages into a prompt.

A template is untrusted code, so it runs in Jinja's immutable sandbox, with limits on time and size (`sandbox.py`). It gets
the same variables and filters as in transformers' `apply_chat_template`, which template authors test against.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NoReturn

from lmcraft.errors import UserError


def render(template: str, messages: Sequence[Mapping[str, Any]], **variables: object) -> str:
    """Render a chat template.

    Raises:
        UserError: the template is broken, or rejects these messages (for example, roles that do not alternate).
    """
    from jinja2 import TemplateError  # imported here, because most uses of a tokenizer need no chat template

    from lmcraft.tokenizer.sandbox import BUDGET, Budget

    token = BUDGET.set(Budget())
    try:
        text: str = _compile(template).render(messages=messages, **variables)
    except RecursionError as error:
        raise UserError("the chat template cannot render these messages: it recurses too deeply") from error
    except (TemplateError, TypeError, ArithmeticError, LookupError, ValueError, AttributeError, MemoryError) as error:
        raise UserError(f"the chat template cannot render these messages: {error}") from error
    finally:
        BUDGET.reset(token)
    return text


def strip_special_tokens(special_tokens: Collection[str], text: str) -> str:
    """`text` without the spellings of special tokens, so that a user cannot end a turn or speak as the system.

    Encoding the template's and the users' parts separately would keep the spellings, but would tokenize the boundaries
    between them differently than in training.
    """
    if not special_tokens:
        return text
    spellings = re.compile("|".join(map(re.escape, special_tokens)))
    while (removed := spellings.sub("", text)) != text:  # a removal may join the parts of another token
        text = removed
    return text


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
