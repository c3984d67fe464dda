"""Checks of the values that the store accepts."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.validation import is_id, to_json


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_json_is_compact_bounded_and_finite() -> None:
    assert to_json("details", {"a": [1, "天"]}, 20) == '{"a":[1,"天"]}'
    with pytest.raises(UserError, match="details takes 15 bytes of JSON; give at most 14"):
        to_json("details", {"a": [1, "天"]}, 14)
    for value in (float("inf"), object(), "\ud800"):
        with pytest.raises(UserError, match="details cannot be stored as JSON"):
            to_json("details", {"a": value}, 1000)


def test_depth_is_bounded_for_objects_and_lists() -> None:
    assert to_json("details", nested(validation.MAX_DEPTH), 1000)
    for value in (nested(validation.MAX_DEPTH + 1), {"a": [nested(validation.MAX_DEPTH - 1)]}):
        with pytest.raises(UserError, match="nested more than 16 levels deep"):
            to_json("details", value, 1000)


@pytest.mark.parametrize(
    ("text", "valid"), [("0123456789abcdef" * 2, True), ("", False), ("A" * 32, False), ("a" * 33, False)]
)
def test_ids_are_32_hexadecimal_digits(text: str, valid: bool) -> None:
    assert is_id(text) == valid
