"""Checks of the values that the store accepts."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.validation import check_text, is_id, to_json


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_texts_are_bounded_and_otherwise_unchanged() -> None:
    assert check_text("title", "天🙂\r\n", 4) == "天🙂\r\n"
    with pytest.raises(UserError, match="title has 5 characters; give at most 4"):
        check_text("title", "abcde", 4)
    with pytest.raises(UserError, match=r"title has NUL \('\\x00'\) at character 1"):
        check_text("title", "a\0", 4)
    with pytest.raises(UserError, match="half of a surrogate pair"):
        check_text("title", "\ud800", 4)


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
