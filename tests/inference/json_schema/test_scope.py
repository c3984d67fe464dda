"""References inside a schema, and the equality of JSON values."""

from typing import Any

import pytest

from lmcraft.inference.json_schema.scope import MAX_STEPS, SchemaError, Scope, value_key

ROOT = {"$defs": {"a b": {"type": "null"}, "x/y": True}, "anyOf": [{"const": 1}]}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#", ROOT), ("#/$defs/a%20b", {"type": "null"}), ("#/$defs/x~1y", True), ("#/anyOf/0", {"const": 1}),
        ("#/anyOf/1", None), ("#/$defs", ROOT["$defs"]), ("#name", None), ("https://example.com", None), (5, None),
    ],
)  # fmt: skip
def test_references(reference: Any, target: Any) -> None:
    assert Scope(ROOT).resolve(reference) == target


def test_equal_values_have_equal_keys() -> None:
    assert value_key([1, {"a": 2.0}]) == value_key([1.0, {"a": 2}])
    assert value_key(1) != value_key(True) and value_key(0) != value_key(False) and value_key("1") != value_key(1)


def test_work_is_bounded() -> None:
    scope = Scope({})
    with pytest.raises(SchemaError, match="too complex"):
        for _ in range(MAX_STEPS + 1):
            scope.enter("a").count_step()
