"""Pages are written in GitHub's Markdown; Python-Markdown, which Zensical uses, is stricter about lists and HTML."""

import re
from collections.abc import Callable, Iterator

FENCE = re.compile(r" *(`{3,}|~{3,})")
ITEM = re.compile(r"( *)([-*+]|\d{1,9}[.)])( +)(?=\S)")
CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^(#{1,6}) ([^\n]+)", re.MULTILINE)
TITLE = re.compile(r"#{1,6} ")
QUOTE = re.compile(r"> ?")
STEP = 4  # columns by which Python-Markdown wants nested blocks indented


def for_python_markdown(text: str) -> str:
    """The same page with blank lines before blocks, nested blocks indented by four, and Markdown in <details>."""
    lines: list[str] = []
    columns: list[int] = []  # where the text of each open list item begins
    fence = ""
    for line in _lines(text):
        in_code, fence = bool(fence), fence_after(line, fence)
        if in_code:
            lines.append(_indent(line, columns))
            continue
        blank_before = not lines or not lines[-1].strip()
        item = ITEM.match(line)
        if line.strip() and (blank_before or item or fence):
            _close(columns, len(line) - len(line.lstrip()))
        if fence:
            lines += ([] if blank_before else [""]) + [_indent(line, columns)]
        elif item:
            starts_list = not blank_before and not _in_list(lines[-1], columns)
            indent = " " * (STEP * len(columns))
            lines += ([""] if starts_list else []) + [f"{indent}{item[2]} {line[item.end() :]}"]
            columns.append(item.end())
        elif TITLE.match(line):
            columns.clear()
            lines += ([] if blank_before else [""]) + [line, ""]
        elif line.lstrip().startswith("|") and not blank_before and not lines[-1].lstrip().startswith("|"):
            lines += ["", _indent(line, columns)]
        else:
            lines.append(_indent(re.sub(r"<details(?=[ >])", '<details markdown="1"', line), columns))
    return "\n".join(lines)


def _lines(text: str) -> Iterator[str]:
    """The lines of a page, those of a quotation adapted like a page of their own."""
    quotation: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if not fence and QUOTE.match(line):
            quotation.append(QUOTE.sub("", line, count=1))
            continue
        yield from _quoted(quotation)
        quotation.clear()
        fence = fence_after(line, fence)
        yield line
    yield from _quoted(quotation)


def _quoted(lines: list[str]) -> list[str]:
    return [f"> {line}".rstrip() for line in for_python_markdown("\n".join(lines)).split("\n")] if lines else []


def fence_after(line: str, fence: str) -> str:
    """The fence of the code block that is open after a line, or ""; `fence` is the one before it."""
    match = FENCE.match(line)
    if not fence:
        return match[1] if match else ""
    closes = match is not None and line.strip().startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


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
