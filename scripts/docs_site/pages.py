"""Which files of the repository are pages of the site."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "zh")
PROJECT_PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FOLDERS = ("benchmarks", "deploy", "recipes")  # with pages outside docs/


class DocsError(Exception):
    """Problems of the documentation, one a line."""


@dataclass(frozen=True)
class Page:
    """A page of one language."""

    address: str  # in the site of its language, as "serving.md"
    source: str  # file in the repository
    language: str  # of its text: "en" in the Chinese site if there is no Chinese version

    @property
    def text(self) -> str:
        return (ROOT / self.source).read_text(encoding="utf-8")


def english_pages() -> dict[str, str]:
    """Address of each page -> its file in the repository."""
    docs = (path.relative_to(ROOT / "docs").as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))
    pages = {address: f"docs/{address}" for address in docs if not address.startswith("zh/")}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.md")):
            source = path.relative_to(ROOT).as_posix()
            if not path.name.endswith(".zh.md"):
                pages[_address(source)] = source
    return pages | {f"project/{name.lower()}": name for name in PROJECT_PAGES}


def _address(source: str) -> str:
    """A folder's README is the folder's page: that of recipes/intents is `recipes/intents` with the ending `.md`."""
    path = PurePosixPath(source)
    if path.name != "README.md":
        return source
    return f"{path.parent}.md" if "/" in str(path.parent) else f"{path.parent}/index.md"


def chinese_source(source: str) -> str:
    """The file that has the Chinese version of a page, whether or not it exists."""
    if source.startswith("docs/"):
        return f"docs/zh/{source.removeprefix('docs/')}"
    return f"{source.removesuffix('.md')}.zh.md"


def pages_of(language: str) -> list[Page]:
    """All pages of a language's site; the Chinese site shows the English page where there is no Chinese one."""
    pages = []
    for address, source in english_pages().items():
        translated = chinese_source(source)
        if language == "zh" and (ROOT / translated).is_file():
            pages.append(Page(address, translated, "zh"))
        else:
            pages.append(Page(address, source, "en"))
    return pages


def addresses() -> dict[str, str]:
    """File in the repository -> address of the page that shows it, in either language's site."""
    found = {"README.md": "index.md", "README.zh.md": "index.md"}
    for address, source in english_pages().items():
        found[source] = address
        found[chinese_source(source)] = address
    return found
