"""Fills the HTML templates of this folder, which begin with the same head: `head.html` and the styles of `page.css`."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template

from lmcraft.errors import UserError
from lmcraft.reports.language import LANGUAGES, Language, say, writing_in

PAGE_NAME = "report.html"
FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
SPOKEN = re.compile(r"\[\[(.+?)\]\]")
"""A text of a template that is said in the language of the page."""


def fill_page(template: str, title: str, **values: object) -> str:
    """The page of a template.

    Args:
        template: name of its file.
        title: of the page, as HTML; also the variable `title`.
        values: those of the template's variables, as HTML.
    """
    head = _read("head.html").substitute(title=title, style=STYLE)
    return _read(template).substitute({"theme": _theme_switch(LANGUAGES[:1])} | values, head=head, title=title)


def fill_bilingual(template: str, build: Callable[[], Mapping[str, object]]) -> str:
    """A page in English and Chinese, with a switch that needs no script; it opens in English.

    Args:
        template: name of the file with the contents of a half.
        build: gives the values of the template's variables, as HTML, in the language of `say`; `title` is that of the page.
    """
    halves, titles = [], []
    for language in LANGUAGES:
        with writing_in(language):
            values = build()
            contents = _read(template).substitute(values)
        halves.append(f'<main lang="{language}">\n{contents}</main>')
        titles.append(values["title"])
    return fill_page("bilingual.html", str(titles[0]), halves="\n".join(halves), theme=_theme_switch(LANGUAGES))


def _theme_switch(languages: Sequence[Language]) -> str:
    """The switch between a light and a dark page, labeled in each of these languages; the page shows one of them."""
    labels = dict.fromkeys(("legend", "auto", "light", "dark"), "")
    for language in languages:
        with writing_in(language):
            spoken = {"legend": say("Theme"), "auto": say("Auto"), "light": say("Light"), "dark": say("Dark")}
        for name, text in spoken.items():
            labels[name] += f'<span lang="{language}">{text}</span>'
    return _read("theme.html").substitute(labels)


def check_page(folder: Path, title: str, writer: str) -> None:
    """Raise UserError if `report.html` in a folder is not a page with this beginning of its title, which `writer` writes."""
    path = folder / PAGE_NAME
    if path.exists() and not (path.is_file() and f"<title>{title} " in path.read_text(encoding="utf-8", errors="replace")):
        raise UserError(f"out='{folder}' holds '{PAGE_NAME}', which no {writer} wrote: choose another --out")


def _read(name: str) -> Template:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return Template(SPOKEN.sub(lambda match: say(match[1]), text))
