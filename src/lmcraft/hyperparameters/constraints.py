"""Constraints: expressions over a point that must be true, such as `pretrain.depth * 32 <= pretrain.model.hidden_size`."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.errors import UserError
from lmcraft.hyperparameters.trial import Point

Evaluate = Callable[[Point], Any]

ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, exponent: float(base) ** float(exponent),  # whole numbers could take forever
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}


@dataclass(frozen=True)
class Constraint:
    """An expression that must be true of every point."""

    text: str
    names: frozenset[str]
    """The full names of its settings."""
    evaluate: Evaluate

    def holds(self, point: Point) -> bool:
        """Whether it is true; so it is if the condition of one of its settings is false. Division by zero makes it false.

        Raises:
            UserError: it is no truth value, or compares a text with a number.
        """
        if not self.names <= point.keys():
            return True
        try:
            return _truth(self.evaluate(point))
        except ArithmeticError:
            return False
        except TypeError as error:
            raise UserError(f"constraint '{self.text}' cannot be computed: {error}") from error


def parse_constraint(text: str, full_name: Callable[[str], str | None]) -> Constraint:
    """Read an expression: settings, numbers, texts, arithmetic, comparisons, `in`, `and`, `or` and `not`.

    Args:
        text: the expression, in Python's syntax.
        full_name: the full name of the dimension that a name means, or None.

    Raises:
        UserError: it is something else; the message has the part that is.
    """
    names: set[str] = set()

    def build(node: ast.expr) -> Evaluate:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return lambda point: value
            case ast.Name() | ast.Attribute():
                name = full_name(ast.unparse(node))
                if name is None:
                    raise UserError(f"constraint '{text}' names {ast.unparse(node)!r}, which is no range: name one that is")
                names.add(name)
                return lambda point: point[name]
            case ast.Tuple(elts=items) | ast.List(elts=items):
                parts = [build(item) for item in items]
                return lambda point: [part(point) for part in parts]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = build(operand)
                return lambda point: not _truth(inner(point))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = build(operand)
                return lambda point: -_number(inner(point))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                first, compute, second = build(left), ARITHMETIC[type(op)], build(right)
                return lambda point: compute(_number(first(point)), _number(second(point)))
            case ast.BoolOp(op=op, values=values):
                conditions, combine = [build(value) for value in values], all if isinstance(op, ast.And) else any
                return lambda point: combine(_truth(condition(point)) for condition in conditions)
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in COMPARISONS for op in ops):
                terms, tests = [build(term) for term in (left, *comparators)], [COMPARISONS[type(op)] for op in ops]
                return lambda point: all(
                    test(a(point), b(point)) for test, a, b in zip(tests, terms[:-1], terms[1:], strict=True)
                )
        raise UserError(
            f"constraint '{text}' has {ast.unparse(node)!r}: "
            "use settings, numbers, texts, arithmetic, comparisons, and, or, not"
        )

    try:
        evaluate = build(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"constraint '{text}' is not an expression: write one such as 'pretrain.depth < 4'") from error
    if not names:
        raise UserError(f"constraint '{text}' names no range: name one, such as 'pretrain.depth < 4'")
    return Constraint(text, frozenset(names), evaluate)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false; compare it with something")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value
