"""Axe on a state of the review page, once in each language: in one of them wide, in the other narrow, in the other theme."""

from typing import Any
from zlib import crc32

from tests.server.pages.test_accessibility import FIND_PROBLEMS, FIND_WIDE, THEMES

WIDTHS = (1280, 390, 320)
FIND_WIDE_HERE = """() => [...document.querySelectorAll("html, #bar, #view, .day, .reading, .item, .more-steps, dialog")]
  .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1)
  .map((node) => `${node.className || node.localName}: ${node.scrollWidth} > ${node.clientWidth}`)"""


def check(page: Any, state: str) -> None:
    """Demand that axe finds nothing in this state, and that at no width anything but code scrolls to the side.

    Width and theme depend on the state and the language, so that the states together are checked in all combinations.
    """
    number = crc32(state.encode()) ^ (3 if page.evaluate("document.documentElement.lang") == "en" else 0)
    width, theme = WIDTHS[0] if number % 2 else WIDTHS[1 + number // 4 % 2], THEMES[number // 2 % 2]
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    problems = []
    for other in sorted(WIDTHS, key=lambda value: value == width):  # `width` comes last
        page.set_viewport_size({"width": other, "height": 800})
        for find in (FIND_WIDE, FIND_WIDE_HERE):
            problems += [f"{state}, {other} px: {problem}" for problem in page.evaluate(find)]
    problems += [f"{state}, {width} px, {theme}: {problem}" for problem in page.evaluate(FIND_PROBLEMS, None)]
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    assert not problems, "\n".join(problems)
