"""Charts of the learning path as SVG files of their own, which follow the reader's light or dark theme."""

from collections.abc import Callable, Sequence
from typing import Any

from lmcraft.reports.axis import Axis
from lmcraft.reports.chart import Series, draw_chart

Say = Callable[[str, str], str]
"""Chooses between an English and a Chinese label."""
Picture = Callable[[dict[str, Any], Say], str]
"""Draws an SVG element from the names that the code of a page defines."""

STYLE = """
:root { color-scheme: light dark; --ink: #17211f; --paper: #fff; --line: #dfe5e3; --a: #2563c9; --b: #c2410c; --c: #0f766e;
        --d: #7c3aed; --e: #a16207; --f: #be185d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ecea; --paper: #121716; --line: #2a3431; --a: #7aa8ff; --b: #ff9466; --c: #5eead4; --d: #c4a1ff;
          --e: #facc15; --f: #f9a8d4; } }
svg { background: var(--paper); color: var(--ink); font-family: system-ui, "Noto Sans CJK SC", sans-serif; }
text { font-size: 12px; fill: currentColor; } .grid { stroke: var(--line); } .ink { stroke: var(--ink); }
polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.key { stroke-width: 3; }
circle { fill: var(--paper); stroke-width: 2; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); } .d { stroke: var(--d); } .e { stroke: var(--e); }
.f { stroke: var(--f); } .band { stroke: none; opacity: .18; } .a.band { fill: var(--a); } .b.band { fill: var(--b); }
.frame { fill: none; stroke: var(--line); }
""" + "".join(
    f".p{n} {{ fill: color-mix(in srgb, var(--a) {share}%, var(--paper)); }} "
    for n, share in enumerate((12, 23, 35, 47, 60, 73, 86, 100), 1)
)


def as_file(svg: str) -> str:
    """An SVG element as a file."""
    head, _, body = svg.partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head.removeprefix("<svg")}><style>{STYLE}</style>{body}\n'


def line_picture(series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool = False) -> str:
    """A chart of curves and points."""
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + [end for s in series for ends in s.intervals for end in ends]
    return draw_chart(series, Axis.of_numbers(x_label, xs, log=log_x), Axis.of_numbers(y_label, ys))


def curve(name: str, style: str, values: Sequence[float], start: int = 1) -> Series:
    """Values over 1, 2, 3 and so on."""
    return Series(name, style, list(enumerate(values, start)))
