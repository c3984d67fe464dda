"""The pages of the documentation, their code blocks and the commands in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A code block."""

    page: str
    """Relative to the repository."""
    language: str
    code: str


def pages() -> list[str]:
    """The English pages, by path; a Chinese page has the same blocks (tests/docs_site and test_readme compare them)."""
    patterns = ("*.md", "docs/**/*.md", "recipes/**/README.md", "deploy/**/*.md", "benchmarks/*.md")
    files = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
    chinese = {path for path in files if "zh" in path.parts or path.name.endswith(".zh.md")}
    return sorted(path.as_posix() for path in files - chinese)


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of a page in these languages."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(page, language, code) for language, code in FENCE.findall(text) if language in languages]


def commands(block: Block) -> Iterator[str]:
    """The commands of a shell block, each on one line, without comments."""
    code = re.sub(r"(?:^|(?<=\s))#.*$", "", block.code.replace("\\\n", " "), flags=re.MULTILINE)
    yield from filter(None, map(str.strip, re.split(r"\n| && |; (?!\[)", code)))
