"""Limits on the time and memory that a chat template may use.

Jinja's immutable sandbox keeps a template from accessing objects, but not from looping forever or building a gigabyte
from one line. Here every loop iteration and call is counted, and every operation that can grow its input is checked first.
The budget belongs to one rendering, so a server can render in many threads.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import TemplateError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SECONDS = 2.0  # CPU time of the rendering thread
MAX_STEPS = 1_000_000  # loop iterations and macro calls
MAX_RANGE_ITEMS = 100_000
MAX_SIZE = 4_000_000  # characters of a string or of the output; items of nested containers
MAX_SOURCE_CHARS = 200_000
MAX_NODES = 10_000  # of the syntax tree; compiling takes about 0.1 ms for each
MAX_NESTED_BLOCKS = 30  # more make the compiled program invalid, and take long to compile
MAX_PADDING = 1000  # characters that a string is padded to

PADDING = ("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap", "tojson", "pprint", "round")
PLACEHOLDER = re.compile(r"[%{]")
WIDE = re.compile(r"\d{4}|%[^%a-zA-Z]*\*|\{[^{}]*:[^{}]*\{")  # a width of four digits, or one taken from the arguments


class LimitError(TemplateError):
    """The template exceeds a limit."""


class Budget:
    """The remaining time, steps and output of one rendering."""

    def __init__(self) -> None:
        self._deadline = time.thread_time() + MAX_SECONDS
        self._steps = 0
        self._output_chars = 0

    def tick(self) -> None:
        """Count one step."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LimitError(f"it takes more than {MAX_STEPS:,} steps")
        if time.thread_time() > self._deadline:
            raise LimitError(f"it takes more than {MAX_SECONDS:g} seconds")

    def write(self, size: int) -> None:
        """Count rendered characters."""
        self._output_chars += size
        _check_size(self._output_chars)


BUDGET: ContextVar[Budget] = ContextVar("budget")


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with a budget; set `BUDGET` before compiling or rendering a template."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, filters: Mapping[str, Callable[..., Any]], **options: Any) -> None:
        """Add `filters` to Jinja's own."""
        super().__init__(**options, finalize=_count_output)
        self.filters = {name: _limit_filter(name, function) for name, function in (self.filters | dict(filters)).items()}
        self.globals["range"] = _range
        del self.globals["lipsum"]

    # `_instrument` inserts calls of these into templates, through the environment, because a template can rebind globals.

    @staticmethod
    def counted_items(items: Iterable[Any]) -> Iterator[Any]:
        tick = BUDGET.get().tick
        for item in items:
            tick()
            yield item

    @staticmethod
    def tick() -> None:
        BUDGET.get().tick()

    @staticmethod
    def checked_literal(value: Any) -> Any:
        text_size(value, rendered=False)
        return value

    @staticmethod
    def checked_concat(*parts: Any) -> str:
        _check_size(sum(map(text_size, parts)))
        return "".join(map(str, parts))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE_CHARS:
            raise LimitError(f"it has more than {MAX_SOURCE_CHARS:,} characters")
        template = super()._parse(source, name, filename)
        _check_nodes(template)
        return _instrument(template)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        BUDGET.get().tick()
        if operator == "+":
            _check_size(text_size(left, rendered=False) + text_size(right, rendered=False))
        elif operator == "*":
            factors = [side for side in (left, right) if isinstance(side, int)]
            size = text_size(left, rendered=False) + text_size(right, rendered=False)
            _check_size(size * abs(factors[0]) if len(factors) == 1 and not isinstance(left, float) else size)
        elif operator == "**":
            _check_size(text_size(left) * abs(right) if isinstance(right, int) else 0)
        elif isinstance(left, str):
            _check_format(left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        safe = super().wrap_str_format(value)
        if safe is None:
            return None

        def checked_format(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__, (*args, *kwargs.values()))
            return safe(*args, **kwargs)

        return checked_format

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        BUDGET.get().tick()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = _check_text(function.__name__, owner, args, kwargs)
        return super().call(context, function, *args, **kwargs)


def text_size(value: Any, *, rendered: bool = True) -> int:
    """Upper bound of the length of a value's text; a container counts each time it would be written.

    Raises:
        LimitError: the text is too long, or the value is to be `rendered` and is an object with arbitrary text.
    """
    total, pending = 0, [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, int):
            total += 1 + item.bit_length() // 3
        elif isinstance(item, float | None | Undefined):
            total += 1
        elif isinstance(item, Mapping):
            total += 6 * len(item)
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | range):
            total += 4 * len(item)
            pending += item
        elif rendered:
            raise LimitError(f"it renders an object ({type(item).__name__})")
        _check_size(total + len(pending))
    return total


def _check_size(size: int) -> None:
    if size > MAX_SIZE:
        raise LimitError(f"it creates more than {MAX_SIZE:,} characters or items")


def _check_text(name: str, text: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Check the size of a string method's or filter's result; returns the arguments, with an iterator turned into a list."""
    if name in PADDING:
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and abs(value) > MAX_PADDING:
                raise LimitError(f"it pads a string to {value} characters")
    elif name == "format":
        _check_format(text, (*args, *kwargs.values()))
    elif name == "join" and args:
        parts = list(args[0])
        _check_size(sum(map(text_size, parts)) + len(parts) * len(text))
        return (parts, *args[1:])
    elif name == "replace" and len(args) > 1:
        old, new = str(args[0]), str(args[1])
        _check_size(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return args


def _check_format(form: str, values: Any) -> None:
    if WIDE.search(form):
        raise LimitError("it formats to a width of 1000 or more, or to a width taken from its arguments")
    _check_size(len(form) + len(PLACEHOLDER.findall(form)) * text_size(values))


def _limit_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that its cost is checked."""

    @wraps(function)  # keeps the attribute by which Jinja passes the environment first
    def checked_filter(*args: Any, **kwargs: Any) -> Any:
        BUDGET.get().tick()
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        value, options = args[first], args[first + 1 :]
        if name == "join" and not isinstance(value, str):
            value = list(value)
            _check_size(sum(map(text_size, value)) + len(value) * text_size((*options, *kwargs.values())))
        elif name in ("tojson", "pprint", "string", "urlize", "xmlattr", "escape", "e", "forceescape"):
            _check_size(6 * text_size(value))
        if isinstance(value, str) or name in PADDING:
            _check_text(name, str(value) if isinstance(value, str) else "", options, kwargs)
        return function(*args[:first], value, *options, **kwargs)

    return checked_filter


def _check_nodes(template: nodes.Template) -> None:
    """Raise LimitError for a template that takes long to compile."""
    count, pending = 0, [(node, 0) for node in template.body]
    while pending:
        node, depth = pending.pop()
        depth += isinstance(node, nodes.Stmt)
        count += 1
        if depth > MAX_NESTED_BLOCKS:
            raise LimitError(f"it nests more than {MAX_NESTED_BLOCKS} blocks")
        if count > MAX_NODES:
            raise LimitError(f"it has more than {MAX_NODES:,} expressions and blocks")
        pending += [(child, depth) for child in node.iter_child_nodes()]


def _instrument(template: nodes.Template) -> nodes.Template:
    """Insert the counting calls into a template's loops, macros and literals."""
    for macro in template.find_all((nodes.Macro, nodes.CallBlock, nodes.For)):
        macro.body.insert(0, nodes.ExprStmt(_call("tick"), lineno=macro.lineno))  # type: ignore[attr-defined]
    for loop in template.find_all(nodes.For):
        loop.iter = _call("counted_items", loop.iter)  # type: ignore[arg-type]
    return _instrument_node(template)  # type: ignore[no-any-return]


def _instrument_node(node: Any) -> Any:
    """Route `a ~ b` and list, tuple and dict literals through our functions."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _instrument_node(value))
        elif isinstance(value, list):
            setattr(node, field, [_instrument_node(item) if isinstance(item, nodes.Node) else item for item in value])
    if isinstance(node, nodes.Concat):
        return _call("checked_concat", *node.nodes)
    stored = getattr(node, "ctx", "load") != "load"  # the target of {% for key, value in ... %} is a tuple, too
    if isinstance(node, nodes.List | nodes.Dict | nodes.Tuple) and not stored:
        return _call("checked_literal", node)
    return node


def _call(name: str, *args: nodes.Expr) -> nodes.Call:
    line = args[0].lineno if args else 1
    return nodes.Call(nodes.EnvironmentAttribute(name, lineno=line), list(args), [], None, None, lineno=line)


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE_ITEMS:
        raise LimitError(f"its range has more than {MAX_RANGE_ITEMS:,} items")
    return numbers


def _count_output(value: Any) -> Any:
    BUDGET.get().write(len(value) if isinstance(value, str) else text_size(value))
    return value
