"""Chat templates: Jinja programs that come with a tokenizer and turn messages into one text.

A template is code by a stranger, so it runs in Jinja's immutable sandbox, with limits on time and size (`sandbox.py`). Its
surroundings are those of transformers'
`apply_chat_template`, which is what the authors of templates test against.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NoReturn

from lmcraft.errors import UserError


def render(template: str, messages: Sequence[Mapping[str, Any]], **variables: object) -> str:
    """The text that `template` makes of `messages`.

    Raises:
        UserError: the template is broken, or refuses these messages (say, roles that do not alternate).
    """
    from jinja2 import TemplateError  # here, since most uses of a tokenizer have no chat

    from lmcraft.tokenizer.sandbox import BUDGET, Budget

    before = BUDGET.set(Budget())
    try:
        text: str = _compiled(template).render(messages=messages, **variables)
    except RecursionError as error:
        raise UserError("the chat template cannot render these messages: it calls itself too deeply") from error
    except (TemplateError, TypeError, ArithmeticError, LookupError, ValueError, AttributeError, MemoryError) as error:
        raise UserError(f"the chat template cannot render these messages: {error}") from error
    finally:
        BUDGET.reset(before)
    return text


def without(special_tokens: Collection[str], text: str) -> str:
    """`text` with the spellings of special tokens removed, so that nobody can end a turn or speak as the system.

    The alternative, encoding the template's and the speakers' parts each by themselves, would keep the spellings, but gives
    other tokens where a template's words and a speaker's meet than the model was tuned on.
    """
    if not special_tokens:
        return text
    spellings = re.compile("|".join(map(re.escape, special_tokens)))
    while (removed := spellings.sub("", text)) != text:  # what a removal joins may spell one again
        text = removed
    return text


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@cache
def _environment() -> Any:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser

    from lmcraft.tokenizer.sandbox import LimitedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant says, for training; here its body is rendered as it is."""

        tags = {"generation"}  # noqa: RUF012 - Jinja reads the attribute from the class

        def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    environment = LimitedEnvironment(
        {"tojson": to_json},  # Jinja's own escapes <, > and & for HTML
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, loopcontrols],
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
