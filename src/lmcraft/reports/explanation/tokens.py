"""Tokens as the page shows them. A token may be anything: spaces, control characters, half of a surrogate pair."""

import unicodedata
from collections.abc import Sequence
from html import escape
from math import isfinite

from lmcraft.reports.axis import shorten

SHADES = 8  # of a color, from 1
MAX_WIDTH = 32  # of a token in a table, in Latin characters
RIGHT_TO_LEFT = ("R", "AL")
SYMBOLS = {"\n": "⏎", "\t": "⇥"}
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of characters that have no shape of their own
JOINERS = "\u200c\u200d"  # part of the spelling of Persian, of Indian scripts and of emoji


def spell(text: str) -> str:
    """A token on one line, in which every character can be seen: spaces at its ends, line feeds, control characters."""
    shown = shorten(text, MAX_WIDTH)
    inner = shown.strip(" ")
    start = len(shown) - len(shown.lstrip(" ")) if inner else len(shown)
    end = len(shown) - start - len(inner)
    return "␣" * start + "".join(map(_visible, inner)) + "␣" * end


def _visible(character: str) -> str:
    """A character, or the sign or the number that stands for one that cannot be seen or that reorders the line."""
    if symbol := SYMBOLS.get(character):
        return symbol
    if unicodedata.category(character) in HIDDEN and character not in JOINERS:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


def read_as_text(text: str) -> str:
    """A token within a text: its spaces and line feeds stay."""
    return "".join(c if c == " " else "⏎\n" if c == "\n" else _visible(c) for c in text)


def token_html(text: str) -> str:
    """A token in a sentence or a table, as HTML."""
    return f"<bdi><code>{escape(spell(text))}</code></bdi>"


def strip_of(tokens: Sequence[str], shades: Sequence[int], name: str) -> str:
    """A text whose tokens have a colored background.

    Args:
        tokens: of the text.
        shades: 0 to `SHADES` for each token; negative ones have the other color.
        name: of the view, by which the script finds it.
    """
    spans = "".join(
        f'<bdi class="{_shade_class(shade)}">{escape(read_as_text(token))}</bdi>'
        for token, shade in zip(tokens, shades, strict=True)
    )
    direction = ' dir="rtl"' if _is_right_to_left(tokens) else ""
    return f'<div class="strip {name}" data-strip="{name}" tabindex="0"{direction}>{spans}</div>'


def _shade_class(shade: int) -> str:
    return f"s{shade}" if shade >= 0 else f"n{-shade}"


def _is_right_to_left(tokens: Sequence[str]) -> bool:
    """Whether the first letter of a text belongs to a script that is written from the right."""
    directions = (unicodedata.bidirectional(character) for token in tokens for character in token)
    return next((d for d in directions if d in ("L", *RIGHT_TO_LEFT)), "L") in RIGHT_TO_LEFT


def shade(value: float | None, top: float) -> int:
    """The shade of a number, of which `top` has the strongest; 0 for none."""
    if value is None or not isfinite(value) or top <= 0:
        return 0
    strength = min(SHADES, round(SHADES * abs(value) / top))
    return strength if value >= 0 else -strength


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A number; a dash if there is none."""
    if value is None or not isfinite(value):
        return "–"
    rounded = round(value, digits) + 0.0  # no negative zero
    return f"{rounded:{sign}.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """A probability."""
    if not isfinite(share):
        return "–"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def rows_table(head: Sequence[str], rows: Sequence[Sequence[str]], style: str = "") -> str:
    """A table whose headings and cells are HTML; the first cell of a row is its heading.

    Args:
        head: the headings of the columns.
        rows: the cells.
        style: CSS classes of the frame around it.
    """
    heading = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for first, *cells in rows
    )
    frame = f"wide {style}".strip()
    return f'<div class="{frame}" tabindex="0"><table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table></div>'
