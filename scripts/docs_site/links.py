"""Relative links of a page, rewritten so that they work in the site as they do in the repository."""

import os
import posixpath
import re
from collections.abc import Callable

from scripts.docs_site.github_markdown import fence_after
from scripts.docs_site.pages import ROOT, Page, addresses

LINK = re.compile(r"(?<=\]\()[^)\s]+|(?<=\bhref=\")[^\"]+|(?<=\bsrc=\")[^\"]+")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:.|\n)*?(?<!`)\1(?!`)")
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)
PICTURES = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp")


class Links:
    """Rewrites the links of one language's pages; remembers the files that they lead to, and what is wrong with them."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.addresses = addresses()
        self.files: set[str] = set()  # of the repository, that links lead to and that are no pages
        self.problems: list[str] = []

    def rewrite(self, page: Page) -> str:
        return outside_code(page.text, lambda text: LINK.sub(lambda match: self._target(match[0], page), text))

    def _target(self, link: str, page: Page) -> str:
        if EXTERNAL.match(link):
            return link
        path, _, anchor = link.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path))
        address = self._address(file)
        if address is None:
            self.problems.append(f"{page.source}: the link {link} leads to no file")
            return link
        other = self._other_language(file, page)
        relative = os.path.relpath(other or address, posixpath.dirname(page.address) or ".")
        return relative + (f"#{anchor}" if anchor else "")

    def _other_language(self, file: str, page: Page) -> str:
        """Where a link from an English page to a Chinese one leads."""
        if self.language == "zh" or not (file.startswith("docs/zh/") or file.endswith(".zh.md")):
            return ""
        return f"zh/{self.addresses[file].removesuffix('.md')}.html"

    def _address(self, file: str) -> str | None:
        if (ROOT / file).is_dir():
            file = "docs/index.md" if file == "docs" else f"{file}/README.md"
        if not (ROOT / file).is_file():
            return None
        if file in self.addresses:
            return self.addresses[file]
        if file.startswith("docs/") and file.endswith(PICTURES):
            return file.removeprefix("docs/").removeprefix("zh/")
        self.files.add(file)
        return f"files/{file}" if file.endswith(PICTURES) else f"files/{file}.md"


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the text that is in no fenced block and no code span."""
    parts: list[str] = []
    prose: list[str] = []
    fence = ""

    def flush() -> None:
        text = "".join(prose)
        position = 0
        for span in CODE_SPAN.finditer(text):
            parts.extend([change(text[position : span.start()]), span[0]])
            position = span.end()
        parts.append(change(text[position:]))
        prose.clear()

    for line in text.splitlines(keepends=True):
        in_code, fence = bool(fence), fence_after(line, fence)
        if in_code or fence:
            flush()
            parts.append(line)
        else:
            prose.append(line)
    flush()
    return "".join(parts)
