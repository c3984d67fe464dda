"""llms.txt (llmstxt.org), the pages in order with the first sentence of each; llms-full.txt, their text."""

import re
from collections.abc import Callable

from scripts.docs_site.navigation import Entry, entries
from scripts.docs_site.pages import Page

OPTIONAL = ("Project",)  # sections that a reader with little room leaves out


def llms_txt(nav: list[Entry], pages: list[Page], summary: str, link: Callable[[Page], str]) -> str:
    """The index. `link` is the address of a page."""
    by_address = {page.address: page for page in pages}
    lines = ["# lmcraft", "", f"> {summary}", ""]
    sections = [(title, list(entries(inner))) for entry in nav if isinstance(entry, dict) for title, inner in entry.items()]
    for title, addresses in sorted(sections, key=lambda section: section[0] in OPTIONAL):
        lines += [f"## {'Optional' if title in OPTIONAL else title}", ""]
        for address in addresses:
            page = by_address[address]
            sentence = first_sentence(page.text)
            lines.append(f"- [{title_of(page.text)}]({link(page)})" + (f": {sentence}" if sentence else ""))
        lines.append("")
    return "\n".join(lines)


def llms_full_txt(nav: list[Entry], texts: dict[str, str]) -> str:
    """The text of all pages, in the order of the navigation."""
    return "\n\n".join(texts[address].strip() for address in entries(nav)) + "\n"


def title_of(text: str) -> str:
    match = re.search(r"^# (.+)$", text, re.MULTILINE)
    return match[1].replace("`", "") if match else ""


def first_sentence(text: str) -> str:
    """Of the first paragraph after the title, without links."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL).partition("\n")[2]
    for block in re.split(r"\n\s*\n", prose.strip()):
        paragraph = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(block.split()))
        sentence = re.match(r".*?[.:!?](?=\s|$)", paragraph)
        if sentence and re.match(r"[A-Z`\"]", paragraph):
            return re.sub(r":$", ".", sentence[0])
    return ""
