"""Pages are written in GitHub's Markdown; Python-Markdown, which Zensical uses, is stricter about lists and HTML."""

import re
from collections.abc import Callable

FENCE = re.compile(r" *(`{3,}|~{3,})")
ITEM = re.compile(r"( *)([-*+]|\d{1,9}[.)])( +)(?=\S)")
CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^(#{1,6}) ([^\n]+)", re.MULTILINE)
STEP = 4  # columns by which Python-Markdown wants nested blocks indented


def for_python_markdown(text: str) -> str:
    """The same page with blank lines before lists and fences, nested blocks indented by four, and Markdown in <details>."""
    lines: list[str] = []
    columns: list[int] = []  # where the text of each open list item begins
    fence = ""
    for line in text.split("\n"):
        opening = FENCE.match(line)
        if fence:
            lines.append(_indent(line, columns))
            if opening and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            continue
        blank_before = not lines or not lines[-1].strip()
        item = ITEM.match(line)
        if line.strip() and (blank_before or item or opening):
            _close(columns, len(line) - len(line.lstrip()))
        if opening:
            fence = opening[1]
            lines += ([] if blank_before else [""]) + [_indent(line, columns)]
        elif item:
            starts_list = not blank_before and not _in_list(lines[-1], columns)
            indent = " " * (STEP * len(columns))
            lines += ([""] if starts_list else []) + [f"{indent}{item[2]} {line[item.end() :]}"]
            columns.append(item.end())
        else:
            lines.append(_indent(re.sub(r"<details(?=[ >])", '<details markdown="1"', line), columns))
    return "\n".join(lines)


def _close(columns: list[int], indent: int) -> None:
    """Drop the list items that a line with this indentation does not belong to."""
    while columns and indent < columns[-1]:
        columns.pop()


def _in_list(line: str, columns: list[int]) -> bool:
    return bool(columns) or ITEM.match(line) is not None or line.startswith("  ")


def _indent(line: str, columns: list[int]) -> str:
    if not columns or not line.strip():
        return line
    shift = min(columns[-1], len(line) - len(line.lstrip()))
    return " " * (STEP * len(columns)) + line[shift:]


def slugify() -> Callable[[str, str], str]:
    """For Zensical, which calls what its settings name."""
    return anchor


def anchor(heading: str, separator: str = "-") -> str:
    """GitHub's anchor of a heading: lower case, without punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", separator)


def headings(text: str) -> list[tuple[int, str]]:
    """(level, text) of each heading of a page."""
    return [(len(marks), heading) for marks, heading in HEADING.findall(CODE.sub("", text))]


def with_anchors(text: str, originals: list[tuple[int, str]]) -> str:
    """A Chinese page whose headings have the anchors of the English page, so that a link fits both."""
    remaining = iter(originals)

    def add_anchor(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]  # code
        _, heading = next(remaining, (0, ""))
        return f"{match[0]} {{#{anchor(heading)}}}" if heading else match[0]

    return re.sub(rf"{CODE.pattern}|{HEADING.pattern}", add_anchor, text, flags=re.DOTALL | re.MULTILINE)
