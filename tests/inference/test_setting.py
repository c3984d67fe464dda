from dataclasses import dataclass
from typing import Annotated

import pytest

from lmcraft.inference.setting import MAX_SAFE_INTEGER, Setting, build_table


@dataclass(frozen=True)
class Settings:
    share: Annotated[float, Setting(group="sampling", above=0, maximum=1, request_field="share", slider=(0.1, 1, 0.1))] = 0.5
    """A share,
    on two lines."""
    count: Annotated[int, Setting(group="length", minimum=0, request_minimum=-1, page_help="Short.", help_zh="短。")] = 3
    """A count."""
    texts: Annotated[tuple[str, ...], Setting(group="stopping", max_items=4)] = ("a",)
    """Some texts."""


TABLE = build_table(Settings)


def test_a_table_has_the_fields_with_their_types_defaults_and_docstrings() -> None:
    assert [(s.name, s.type, s.default, s.help) for s in TABLE.values()] == [
        ("share", float, 0.5, "A share, on two lines."),
        ("count", int, 3, "A count."),
        ("texts", tuple[str, ...], ("a",), "Some texts."),
    ]


@pytest.mark.parametrize(("value", "allowed"), [(0.0, False), (0.1, True), (1.0, True), (1.1, False), (float("nan"), False)])
def test_bounds(value: float, allowed: bool) -> None:
    assert TABLE["share"].allows(value) == allowed
    assert TABLE["share"].bounds == "above 0 and at most 1" and TABLE["texts"].bounds == ""


def test_the_description_for_the_page() -> None:
    share, count, texts = (setting.as_json() for setting in TABLE.values())
    assert (share["kind"], share["minimum"], share["maximum"], share["slider"]) == ("number", 0.1, 1, (0.1, 1, 0.1))
    assert (count["kind"], count["minimum"], count["maximum"]) == ("integer", 0, MAX_SAFE_INTEGER)
    assert count["help"] == {"en": "Short.", "zh": "短。"} and share["help"]["en"] == "A share, on two lines."
    assert (texts["kind"], texts["max_items"]) == ("texts", 4)
