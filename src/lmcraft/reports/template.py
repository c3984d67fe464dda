"""Fills the HTML templates of this folder, which begin with the same head: `head.html` and the styles of `page.css`."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from lmcraft.errors import UserError
from lmcraft.reports.language import LANGUAGES, Language, say, writing_in

PAGE_NAME = "report.html"
FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
SPOKEN = re.compile(r"\[\[(.+?)\]\]")
"""A text of a template that is said in the language of the page."""


def fill_page(template: str, title: str, *, script: str = "", **values: object) -> str:
    """The page of a template.

    Args:
        template: name of its file.
        title: of the page, as HTML; also the variable `title`.
        script: the one that the page may run; it is the caller who puts it in.
        values: those of the template's variables, as HTML.
    """
    policy = f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else ""
    head = _read("head.html").substitute(title=title, style=STYLE, policy=policy)
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
    return fill_switched(str(titles[0]), "\n".join(halves))


def fill_switched(title: str, contents: str, *, style: str = "", script: str = "") -> str:
    """A page with the switch between English and Chinese, of contents that `in_both` made bilingual part by part.

    Args:
        title: of the page, as HTML.
        contents: HTML.
        style: further CSS.
        script: the one script of the page, after the contents.
    """
    code = f"\n<script>{script}</script>" if script else ""
    theme = _theme_switch(LANGUAGES)
    return fill_page("bilingual.html", title, script=script, contents=contents + code, style=style, theme=theme)


def in_both(build: Callable[[], str], tag: str = "span", languages: Sequence[Language] = LANGUAGES) -> str:
    """An element for each language, of which the page shows one.

    Args:
        build: gives its contents, as HTML, in the language of `say`.
        tag: span, div or main.
        languages: those of the page.
    """
    parts = []
    for language in languages:
        with writing_in(language):
            parts.append(f'<{tag} lang="{language}">{build()}</{tag}>')
    return "".join(parts)


def both(build: Callable[[], str]) -> str:
    """A text in both languages, as HTML."""
    return in_both(lambda: escape(build()))


def _theme_switch(languages: Sequence[Language]) -> str:
    """The switch between a light and a dark page, labeled in each of these languages; the page shows one of them."""
    labels = {
        "legend": lambda: say("Theme"),
        "auto": lambda: say("Auto"),
        "light": lambda: say("Light"),
        "dark": lambda: say("Dark"),
    }
    spoken = {name: in_both(build, languages=languages) for name, build in labels.items()}
    return _read("theme.html").substitute(spoken)


def check_page(folder: Path, title: str, writer: str) -> None:
    """Raise UserError if `report.html` in a folder is not a page with this beginning of its title, which `writer` writes."""
    path = folder / PAGE_NAME
    if path.exists() and not (path.is_file() and f"<title>{title} " in path.read_text(encoding="utf-8", errors="replace")):
        raise UserError(f"out='{folder}' holds '{PAGE_NAME}', which no {writer} wrote: choose another --out")


def _read(name: str) -> Template:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return Template(SPOKEN.sub(lambda match: say(match[1]), text))
