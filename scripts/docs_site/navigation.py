"""`nav` of zensical.toml: its patterns replaced by pages in reading order, its titles translated."""

import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from scripts.docs_site.pages import ROOT, DocsError, addresses, english_pages

Entry = str | dict[str, Any]
OVERVIEWS = ("commands.md", "learn/index.md", "recipes/index.md", "reference/index.md")


def expand(nav: list[Entry], pages: list[str], titles: dict[str, str]) -> list[Entry]:
    """Leaves out entries without a page, and empty sections. Raises DocsError if a page is in no section, or in two."""
    named = [entry for entry in entries(nav) if "*" not in entry]
    left = [page for page in pages if page not in named]

    def expand_list(items: list[Entry]) -> list[Entry]:
        expanded: list[Entry] = []
        for item in items:
            if isinstance(item, dict):
                ((title, inner),) = item.items()
                section = expand_list(inner)
                if section:
                    expanded.append({titles.get(title, title): section})
            elif "*" in item:
                matches = [page for page in left if _matches(page, item)]
                left[:] = [page for page in left if page not in matches]
                expanded += matches
            elif item in pages:
                expanded.append(item)
        return expanded

    expanded = expand_list(nav)
    problems = [f"{page} is in no section of `nav` in zensical.toml" for page in left]
    problems += [f"{entry} is twice in `nav` in zensical.toml" for entry in {e for e in named if named.count(e) > 1}]
    if problems:
        raise DocsError("\n".join(sorted(problems)))
    return expanded


def in_reading_order(pages: list[str]) -> list[str]:
    """The pages in the order in which the overviews link to them; the others by name, after them."""
    sources, shown_at = english_pages(), addresses()
    order: dict[str, int] = {}
    for overview in OVERVIEWS:
        folder = posixpath.dirname(sources[overview])
        for link in re.findall(r"\]\(([^)\s#]+)", (ROOT / sources[overview]).read_text(encoding="utf-8")):
            file = posixpath.normpath(posixpath.join(folder, link))
            page = shown_at.get(f"{file}/README.md" if (ROOT / file).is_dir() else file)
            if page is not None:
                order.setdefault(page, len(order))
    return sorted(pages, key=lambda page: (order.get(page, len(order)), page))


def _matches(page: str, pattern: str) -> bool:
    return page.count("/") == pattern.count("/") and fnmatchcase(page, pattern)


def entries(nav: list[Entry]) -> Iterator[str]:
    """The pages and patterns of a navigation, in order."""
    for item in nav:
        if isinstance(item, str):
            yield item
        else:
            for inner in item.values():
                yield from entries(inner)
