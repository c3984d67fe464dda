"""The main text of an HTML page: by trafilatura if it is installed, else the whole page without tags."""

import importlib.util
import logging
import re
from functools import cache
from importlib.metadata import version
from typing import Any

from lmcraft.data.html_text import text_of_html

_ROOT = re.compile("<(?:html|body)", re.IGNORECASE)


def text_of_page(page: str, url: str = "") -> str:
    """The main text of a page, without menus and footers; an empty string if there is none.

    The settings are those of FineWeb (arXiv 2406.17557), except that paragraphs repeated on other pages stay: whether they
    are removed would depend on the pages that the same process read before.
    """
    extract = _load_extract()
    if extract is None:
        return text_of_html(page)
    if not _ROOT.search(page):  # trafilatura takes a fragment for something else than HTML
        page = f"<html><body>{page}</body></html>"
    return extract(page, url=url or None, favor_precision=True, include_comments=False, deduplicate=False) or ""


def extractor() -> str:
    """What extracts texts from pages, with its version; the documents of web pages depend on it."""
    return "html_text" if _load_extract() is None else f"trafilatura {version('trafilatura')}"


@cache
def _load_extract() -> Any:
    if importlib.util.find_spec("trafilatura") is None:
        return None
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it warns of every page without a text
    return trafilatura.extract
