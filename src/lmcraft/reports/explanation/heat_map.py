"""Numbers by layer and token, or layer and head, as colored cells in an SVG element that needs no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from lmcraft.reports.axis import shorten, text_width
from lmcraft.reports.chart import CHARACTER_WIDTH
from lmcraft.reports.explanation.tokens import spell

WIDTH = 720
LEFT, BOTTOM = 34, 22
MIN_NAMED_WIDTH = 14  # of a column that has room for its name, turned
MIN_HEIGHT, MAX_HEIGHT = 5, 22  # of a row
TOTAL_HEIGHT = 300
MAX_NAME = 11  # characters
MAX_CELLS = 20_000
"""Of a map: a longer text shows its end."""


@dataclass(frozen=True)
class HeatMap:
    """A map of shades.

    Args:
        shades: (rows, columns), of `shade`; the first row is at the bottom.
        rows: the names of the rows.
        columns: the names of the columns.
        first_column: number of the first column, which is not 0 if the map shows the end of a long text.
        name: by which the script finds it.
    """

    shades: Sequence[Sequence[int]]
    rows: Sequence[str]
    columns: Sequence[str]
    name: str = ""
    first_column: int = 0

    def draw(self, caption: str) -> str:
        """The figure.

        Args:
            caption: as HTML; what people learn who do not see the map.
        """
        count = max(1, len(self.columns))
        cell = min(60.0, (WIDTH - LEFT) / count)
        height = max(MIN_HEIGHT, min(MAX_HEIGHT, TOTAL_HEIGHT // max(1, len(self.rows))))
        names = [shorten(spell(name), MAX_NAME) for name in self.columns]
        longest = CHARACTER_WIDTH * max(map(text_width, names), default=0)
        depth = height * len(self.rows)
        total = depth + (longest + 12 if longest >= cell >= MIN_NAMED_WIDTH else BOTTOM)
        label = f"heat-{self.name}"
        position = f'data-first="{self.first_column}" data-left="{LEFT}" data-cell="{cell:.4f}" data-columns="{count}"'
        head = f'viewBox="0 0 {WIDTH} {total:.0f}" role="img" aria-labelledby="{label}" class="heat"'
        parts = [
            f'<svg {head} data-heat="{self.name}" {position}>',
            f'<g transform="translate({LEFT} 0) scale({cell:.4f} {height})">{self._cells()}</g>',
            f'<rect class="frame" x="{LEFT}" y="0" width="{cell * count:.1f}" height="{depth}"/>',
            *self._row_names(height),
            *(_turned(names, cell, depth) if cell >= MIN_NAMED_WIDTH else self._column_numbers(cell, depth)),
            "</svg>",
        ]
        return f'<figure tabindex="0">{"".join(parts)}<figcaption id="{label}">{caption}</figcaption></figure>'

    def _cells(self) -> str:
        """One path for each shade: runs of equal cells in a row are one rectangle."""
        paths: dict[int, list[str]] = {}
        for row, shades in enumerate(self.shades):
            y = len(self.shades) - 1 - row
            x = 0
            for level, run in groupby(shades):
                length = len(list(run))
                if level:
                    paths.setdefault(level, []).append(f"M{x} {y}h{length}v1h-{length}z")
                x += length
        return "".join(
            f'<path class="{"p" if level > 0 else "m"}{abs(level)}" d="{"".join(path)}"/>'
            for level, path in sorted(paths.items())
        )

    def _row_names(self, height: int) -> list[str]:
        step = max(1, -(-12 // height))  # names of 12 pixels
        count = len(self.rows)
        return [
            f'<text x="{LEFT - 5}" y="{(count - row - 0.5) * height + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            for row, name in enumerate(self.rows)
            if row % step == 0
        ]

    def _column_numbers(self, cell: float, depth: int) -> list[str]:
        """The numbers of some columns."""
        count = len(self.columns)
        width = CHARACTER_WIDTH * len(str(self.first_column + count)) + 12
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if s * cell >= width)
        return [
            f'<text x="{LEFT + (column + 0.5) * cell:.1f}" y="{depth + 15}" text-anchor="middle">'
            f"{self.first_column + column}</text>"
            for column in range(count)
            if (self.first_column + column) % step == 0
        ]


def _turned(names: Sequence[str], cell: float, depth: int) -> list[str]:
    """The names of the columns, turned if one is wider than its column."""
    if CHARACTER_WIDTH * max(map(text_width, names), default=0) < cell:
        return [
            f'<text x="{LEFT + (n + 0.5) * cell:.1f}" y="{depth + 15}" text-anchor="middle">{escape(name)}</text>'
            for n, name in enumerate(names)
        ]
    return [
        f'<text transform="translate({LEFT + (n + 0.5) * cell + 4:.1f} {depth + 6}) rotate(-90)" text-anchor="end">'
        f"{escape(name)}</text>"
        for n, name in enumerate(names)
    ]
