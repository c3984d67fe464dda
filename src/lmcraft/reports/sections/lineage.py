"""What a model was made from: a drawing with the oldest ancestors at the top, and a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import islice

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.lineage.document import Lineage, Origin
from lmcraft.lineage.record import read_lineage
from lmcraft.reports.axis import shorten
from lmcraft.reports.chart import CHARACTER_WIDTH, WIDTH, figure
from lmcraft.reports.language import say
from lmcraft.reports.sections.quantities import mark_code
from lmcraft.reports.table import html_table

BOX_WIDTH, BOX_HEIGHT, GAP, ROW_GAP = 200, 62, 14, 42  # in pixels
BOLD_WIDTH = 8.2  # about, of a character
MAX_PER_ROW = 4  # of a generation; others are counted
MAX_GENERATIONS = 8
MAX_ROWS = 100  # of the table
HASH_CHARACTERS = 12  # shown of a SHA-256
INDENT = 2 * "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Node:
    """A model or a dataset."""

    role: str
    """What it was for in what was made from it."""
    name: str
    license: str = ""
    sha256: str = ""
    kind: str = ""
    """How it was made."""
    created: str = ""
    """Date and time in UTC, as ISO 8601."""
    origins: tuple["Node", ...] = ()
    """What it was made from."""


def lineage_section(folder: ModelFolder, name: str) -> str:
    """The drawing and the table; empty if the folder does not say what the model was made from."""
    try:
        lineage = read_lineage(folder)
    except UserError:  # the report names the damaged file above
        return ""
    node = _node("this model", name, lineage)
    if not node.origins:
        return ""
    rows = [
        [
            INDENT * generation + say(each.role),
            each.name,
            say(each.kind),
            each.created[:10],
            each.license,
            each.sha256[:HASH_CHARACTERS],
        ]
        for generation, each in islice(_walk(node), MAX_ROWS)
    ]
    head = [say("role"), say("name"), say("made by"), say("date"), say("license"), "SHA-256"]
    note = say("`lmcraft report --verify` compares these hashes with the files.")
    return f'{draw_lineage(node)}{html_table(head, rows)}<p class="note">{mark_code(note)}</p>'


def _node(role: str, name: str, lineage: Lineage | None, sha256: str = "", generation: int = 0) -> Node:
    """The node of a document and, up to the last generation shown, of what it names."""
    if lineage is None:
        return Node(role, name, sha256=sha256)
    origins: tuple[Node, ...] = ()
    if generation < MAX_GENERATIONS:
        origins = tuple(
            _node(origin.role, _name(origin), origin.lineage, origin.sha256, generation + 1)
            for origin in lineage.origins[:MAX_ROWS]
        )
    return Node(role, name, _license(lineage), sha256 or lineage.sha256, lineage.kind, lineage.created, origins)


def _name(origin: Origin) -> str:
    name = origin.lineage.summary.get("name") if origin.lineage is not None else ""
    return name if isinstance(name, str) and name else origin.name


def _license(lineage: Lineage) -> str:
    """The license of a model, or those of a dataset's documents."""
    licenses = lineage.summary.get("licenses")
    names = sorted(name for name in licenses if name) if isinstance(licenses, dict) else []
    return lineage.license or ", ".join(names)


def _walk(node: Node, generation: int = 0) -> Iterator[tuple[int, Node]]:
    """All that it was made from, each after what was made from it."""
    for origin in node.origins:
        yield generation, origin
        yield from _walk(origin, generation + 1)


def draw_lineage(node: Node) -> str:
    """A figure with a box for each model and dataset, and an arrow from each to what was made from it."""
    rows = _generations(node)
    height = len(rows) * BOX_HEIGHT + (len(rows) - 1) * ROW_GAP + 4
    described = "; ".join(f"{say(each.role)}: {each.name}" for _, each in islice(_walk(node), MAX_ROWS))
    label = say("What {name} was made from: {origins}", name=node.name, origins=described)
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">']
    for number, row in enumerate(rows):
        top = 2 + (len(rows) - 1 - number) * (BOX_HEIGHT + ROW_GAP)
        for index, (child, each) in enumerate(row):
            x = _center(index, len(row))
            if number:
                parts += _arrow(x, top + BOX_HEIGHT, _center(child, len(rows[number - 1])))
            parts += _box(each, x, top, is_main=number == 0)
    return figure("".join([*parts, "</svg>"]))


def _generations(node: Node) -> list[list[tuple[int, Node]]]:
    """From the model upwards: the nodes of each generation, each with the position of what was made from it."""
    rows = [[(0, node)]]
    while len(rows) <= MAX_GENERATIONS:
        row = [(index, origin) for index, (_, each) in enumerate(rows[-1]) for origin in each.origins]
        if not row:
            break
        if len(row) > MAX_PER_ROW:
            rest = len(row) - MAX_PER_ROW + 1
            row = [*row[: MAX_PER_ROW - 1], (row[-1][0], Node("", say("and {n} more", n=rest)))]
        rows.append(row)
    return rows


def _center(index: int, count: int) -> float:
    return WIDTH / 2 + (index - (count - 1) / 2) * _step(count)


def _step(count: int) -> float:
    return min(BOX_WIDTH + 3 * GAP, (WIDTH - 4) / count)


def _box(node: Node, x: float, top: float, *, is_main: bool) -> Iterator[str]:
    width = min(BOX_WIDTH, _step(MAX_PER_ROW) - GAP)
    style = "main" if is_main else "box"
    yield f'<rect class="{style}" x="{x - width / 2:.1f}" y="{top}" width="{width:.1f}" height="{BOX_HEIGHT}" rx="8"/>'
    lines = [("muted", say(node.role) if node.role else ""), ("strong", node.name), ("muted", node.license)]
    for number, (line_style, text) in enumerate(lines):
        if text:
            room = int((width - GAP) / (BOLD_WIDTH if line_style == "strong" else CHARACTER_WIDTH))
            title = f"<title>{escape(text)}</title>" if len(text) > room else ""
            y = top + 18 + 17 * number
            anchor = f'x="{x:.1f}" y="{y}" text-anchor="middle"'
            yield f'<text class="{line_style}" {anchor}>{escape(shorten(text, room))}{title}</text>'


def _arrow(x: float, top: float, end_x: float) -> Iterator[str]:
    middle, bottom = top + ROW_GAP / 2, top + ROW_GAP - 7
    yield f'<polyline class="ink" points="{x:.1f},{top} {x:.1f},{middle} {end_x:.1f},{middle} {end_x:.1f},{bottom}"/>'
    yield f'<polygon class="head" points="{end_x - 5:.1f},{bottom} {end_x + 5:.1f},{bottom} {end_x:.1f},{bottom + 7}"/>'
