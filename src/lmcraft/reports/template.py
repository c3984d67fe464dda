"""Fills the HTML templates of this folder, which begin with the same head: `head.html` and the styles of `page.css`."""

from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")


def fill_page(template: str, title: str, **values: object) -> str:
    """The page of a template.

    Args:
        template: name of its file.
        title: of the page, as HTML; also the variable `title`.
        values: those of the template's variables, as HTML.
    """
    head = _read("head.html").substitute(title=title, style=STYLE)
    return _read(template).substitute(values, head=head, title=title)


def _read(name: str) -> Template:
    return Template((FOLDER / name).read_text(encoding="utf-8"))
