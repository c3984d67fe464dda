import pytest

from lmcraft.errors import UserError
from lmcraft.hyperparameters.constraints import parse_constraint
from lmcraft.hyperparameters.trial import Point

NAMES = {"depth": "a.depth", "a.depth": "a.depth", "width": "a.width", "name": "a.name", "flag": "a.flag"}
POINT: Point = {"a.depth": 3, "a.width": 96, "a.name": "adamw", "a.flag": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a.depth * 32 <= width", True),
        ("depth * 32 < width", False),
        ("width % 32 == 0 and depth != 2", True),
        ("width // 10 == 9 or depth > 100", True),
        ("not (depth == 3)", False),
        ("1 < depth < 4", True),
        ("name in ['adamw', 'sgd']", True),
        ("name not in ('adamw', 'sgd')", False),
        ("flag", True),
        ("flag == (depth == 3)", True),
        ("-depth + 2 ** 3 / 4 == -1", True),
        ("depth / (depth - 3) > 0", False),
        ("9 ** 9 ** 9 ** 9 > depth", False),
    ],
)
def test_an_expression_is_true_or_false(text: str, holds: bool) -> None:
    assert parse_constraint(text, NAMES.get).holds(POINT) is holds


def test_a_constraint_holds_without_its_settings() -> None:
    assert parse_constraint("depth > 100", NAMES.get).holds({"a.width": 96})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dept < 3", "names 'dept', which is no range"),
        ("depth.__class__ < 3", "names 'depth.__class__', which is no range"),
        ("len(name) < 3", r"has 'len\(name\)': use settings"),
        ("__import__('os').system('true') == depth", "has .*: use settings"),
        ("(lambda: depth)() > 2", "has .*: use settings"),
        ("depth if flag else width", "use settings"),
        ("depth is width", "use settings"),
        ("depth & 1 == 1", "use settings"),
        ("name[0] == 'a'", "use settings"),
        ("depth <", "is not an expression"),
        ("", "is not an expression"),
        ("depth = 3", "is not an expression"),
        ("\0", "is not an expression"),
        ("(" * 5000 + "depth" + ")" * 5000, "is not an expression"),
        ("-" * 5000 + "depth > 0", "is not an expression"),
        ("1 < 2", "names no range"),
    ],
)
def test_what_is_no_constraint_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_constraint(text, NAMES.get)


@pytest.mark.parametrize("text", ["depth", "depth + 1", "name < 3", "name % 2 == 0", "depth and flag", "name * 3 == name"])
def test_what_has_no_truth_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="cannot be computed"):
        parse_constraint(text, NAMES.get).holds(POINT)
