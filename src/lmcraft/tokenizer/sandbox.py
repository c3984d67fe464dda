"""Limits on what a chat template may cost.

Jinja's immutable sandbox keeps a template from touching anything; it does not keep one from looping for ever, or from making
a gigabyte out of a line. Here every turn of a loop and every call is counted, and whatever could make much out of little is
measured before it is done. What is left belongs to one rendering, so a server may render in many threads.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import TemplateError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 2.0  # of computing, in the thread that renders
TURNS = 1_000_000  # of all loops, and calls of macros
ITEMS = 100_000  # of a range
SIZE = 4_000_000  # characters of a text; items of lists within lists; characters of what is rendered
SOURCE = 200_000  # characters of a template
WIDTH = 1000  # of what a text is padded to

PADDING = ("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap", "tojson", "pprint", "round")
PLACEHOLDER = re.compile(r"[%{]")
WIDE = re.compile(r"\d{4}|%[^%a-zA-Z]*\*|\{[^{}]*:[^{}]*\{")  # a width of four digits, or one out of the arguments


class LimitError(TemplateError):
    """The template costs more than it may."""


class Budget:
    """What one rendering has left."""

    def __init__(self) -> None:
        self._deadline = time.thread_time() + SECONDS
        self._turns = 0
        self._written = 0

    def tick(self) -> None:
        """Count one turn."""
        self._turns += 1
        if self._turns > TURNS:
            raise LimitError(f"it takes more than {TURNS:,} turns")
        if time.thread_time() > self._deadline:
            raise LimitError(f"it takes more than {SECONDS:g} seconds")

    def write(self, size: int) -> None:
        """Count what is rendered."""
        self._written += size
        _check(self._written)


BUDGET: ContextVar[Budget] = ContextVar("budget")


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with a budget: set `BUDGET` before a template is compiled or rendered."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, filters: Mapping[str, Callable[..., Any]], **options: Any) -> None:
        """`filters` are added to Jinja's own."""
        super().__init__(**options, finalize=_written)
        self.filters = {name: _limited(name, function) for name, function in (self.filters | dict(filters)).items()}
        self.globals["range"] = _range
        del self.globals["lipsum"]

    # What `_counted` puts into a template. It calls them by the environment, since a template can rename its globals.

    @staticmethod
    def turns(items: Iterable[Any]) -> Iterator[Any]:
        tick = BUDGET.get().tick
        for item in items:
            tick()
            yield item

    @staticmethod
    def tick() -> None:
        BUDGET.get().tick()

    @staticmethod
    def built(value: Any) -> Any:
        weight(value, written=False)
        return value

    @staticmethod
    def joined(*parts: Any) -> str:
        _check(sum(map(weight, parts)))
        return "".join(map(str, parts))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > SOURCE:
            raise LimitError(f"it has more than {SOURCE:,} characters")
        return _counted(super()._parse(source, name, filename))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        BUDGET.get().tick()
        if operator == "+":
            _check(weight(left, written=False) + weight(right, written=False))
        elif operator == "*":
            times = [side for side in (left, right) if isinstance(side, int)]
            size = weight(left, written=False) + weight(right, written=False)
            _check(size * abs(times[0]) if len(times) == 1 and not isinstance(left, float) else size)
        elif operator == "**":
            _check(weight(left) * abs(right) if isinstance(right, int) else 0)
        elif isinstance(left, str):
            _check_format(left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        safe = super().wrap_str_format(value)
        if safe is None:
            return None

        def measured(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__, (*args, *kwargs.values()))
            return safe(*args, **kwargs)

        return measured

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        BUDGET.get().tick()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = _check_text(function.__name__, owner, args, kwargs)
        return super().call(context, function, *args, **kwargs)


def weight(value: Any, *, written: bool = True) -> int:
    """How long a value's text could be: every container within containers as often as it would be written.

    Raises:
        LimitError: too long; or it is to be `written` and is an object, whose text could be anything.
    """
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, int):
            total += 1 + item.bit_length() // 3
        elif isinstance(item, float | None | Undefined):
            total += 1
        elif isinstance(item, Mapping):
            total += 6 * len(item)
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | range):
            total += 4 * len(item)
            waiting += item
        elif written:
            raise LimitError(f"it writes an object ({type(item).__name__})")
        _check(total + len(waiting))
    return total


def _check(size: int) -> None:
    if size > SIZE:
        raise LimitError(f"it makes more than {SIZE:,} characters or items")


def _check_text(name: str, text: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Measure what a method or a filter will make of a text; returns the arguments, an iterator among them as a list."""
    if name in PADDING:
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and abs(value) > WIDTH:
                raise LimitError(f"it pads a text to {value}")
    elif name == "format":
        _check_format(text, (*args, *kwargs.values()))
    elif name == "join" and args:
        parts = list(args[0])
        _check(sum(map(weight, parts)) + len(parts) * len(text))
        return (parts, *args[1:])
    elif name == "replace" and len(args) > 1:
        old, new = str(args[0]), str(args[1])
        _check(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return args


def _check_format(form: str, values: Any) -> None:
    if WIDE.search(form):
        raise LimitError("it formats to a width of thousands, or one that it takes from its arguments")
    _check(len(form) + len(PLACEHOLDER.findall(form)) * weight(values))


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is measured."""

    @wraps(function)  # keeps the marks by which Jinja passes the environment first
    def limited(*args: Any, **kwargs: Any) -> Any:
        BUDGET.get().tick()
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        value, rest = args[first], args[first + 1 :]
        if name == "join" and not isinstance(value, str):
            value = list(value)
            _check(sum(map(weight, value)) + len(value) * weight((*rest, *kwargs.values())))
        elif name in ("tojson", "pprint", "string", "urlize", "xmlattr", "escape", "e", "forceescape"):
            _check(6 * weight(value))
        if isinstance(value, str) or name in PADDING:
            _check_text(name, str(value) if isinstance(value, str) else "", rest, kwargs)
        return function(*args[:first], value, *rest, **kwargs)

    return limited


def _counted(template: nodes.Template) -> nodes.Template:
    """The template with its loops, macros and literals counted."""
    for macro in template.find_all((nodes.Macro, nodes.CallBlock, nodes.For)):
        macro.body.insert(0, nodes.ExprStmt(_call("tick"), lineno=macro.lineno))  # type: ignore[attr-defined]
    for loop in template.find_all(nodes.For):
        loop.iter = _call("turns", loop.iter)  # type: ignore[arg-type]
    return _replaced(template)  # type: ignore[no-any-return]


def _replaced(node: Any) -> Any:
    """`a ~ b` and literals of lists and dicts go through our functions."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _replaced(value))
        elif isinstance(value, list):
            setattr(node, field, [_replaced(item) if isinstance(item, nodes.Node) else item for item in value])
    if isinstance(node, nodes.Concat):
        return _call("joined", *node.nodes)
    stored = getattr(node, "ctx", "load") != "load"  # {% for key, value in ... %} is a tuple, too
    if isinstance(node, nodes.List | nodes.Dict | nodes.Tuple) and not stored:
        return _call("built", node)
    return node


def _call(name: str, *args: nodes.Expr) -> nodes.Call:
    line = args[0].lineno if args else 1
    return nodes.Call(nodes.EnvironmentAttribute(name, lineno=line), list(args), [], None, None, lineno=line)


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > ITEMS:
        raise LimitError(f"it counts more than {ITEMS:,} numbers")
    return numbers


def _written(value: Any) -> Any:
    BUDGET.get().write(len(value) if isinstance(value, str) else weight(value))
    return value
