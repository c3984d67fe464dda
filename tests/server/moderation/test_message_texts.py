"""The texts of a request, in the parts in which clients send them."""

from typing import Any

import pytest

from lmcraft.server.moderation.message_texts import fixed_text, join_passages, redact_parts, replace_texts


@pytest.mark.parametrize(
    ("parts", "passages", "released"),
    [
        (("abc",), [(1, 2)], ("a[redacted]c",)),
        (("ab", "cd"), [(1, 3)], ("a[redacted]", "d")),
        (("ab", "c", "de"), [(1, 4)], ("a[redacted]", "", "e")),
        (("ab", "", "cd"), [(0, 2), (2, 4)], ("[redacted]", "", "[redacted]")),
        (("ab", "cd"), [], ("ab", "cd")),
    ],
)
def test_passages_over_parts(parts: tuple[str, ...], passages: list[tuple[int, int]], released: tuple[str, ...]) -> None:
    assert redact_parts(parts, passages) == released


@pytest.mark.parametrize(
    ("passage", "joined"),
    [((0, 2), [(0, 2)]), ((1, 4), [(1, 3)]), ((2, 3), []), ((3, 5), [(2, 4)]), ((0, 5), [(0, 4)])],
)
def test_separators_are_no_part_of_a_passage(passage: tuple[int, int], joined: list[tuple[int, int]]) -> None:
    assert join_passages(("ab", "cd"), [passage], "\n") == joined


@pytest.mark.parametrize(
    ("value", "replaced"),
    [
        ("ab", "[x]"),
        ([{"text": "a"}, {"text": "b"}], [{"text": "[x]"}, {"text": ""}]),
        (
            {"c": [{"text": "c"}, {"type": "image"}, {"text": "d"}]},
            {"c": [{"text": "c1"}, {"type": "image"}, {"text": "d1"}]},
        ),
        ([{"text": "c"}], [{"text": "c"}]),
        ([{"role": "user", "content": "ab", "refusal": "no"}], [{"role": "user", "content": "[x]", "refusal": "no"}]),
    ],
)
def test_parts_are_replaced_together(value: Any, replaced: Any) -> None:
    assert replace_texts(value, {("ab",): ("[x]",), ("c", "d"): ("c1", "d1")}) == replaced


def test_a_fixed_text_has_all_strings_and_names() -> None:
    [text] = fixed_text({"a": ["b", {"c": 1}], "d": None})
    assert text.is_fixed and text.parts == ("a\nb\nc\nd",)
    assert fixed_text(None) == fixed_text([]) == []
