"""The pages of docs/learn: quotations are in the source, pictures exist, and every page has exercises with solutions."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/learn"
PAGES = sorted([*FOLDER.glob("[0-9]*.md"), *(ROOT / "docs/zh/learn").glob("[0-9]*.md")])
QUOTE = re.compile(r'```python title="([^"]+)"\n(.*?)```', re.DOTALL)
ELLIPSIS = re.compile(r"^\.\.\.\n", re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]+\]\((\S+\.svg)\)")

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())


@by_name
def test_quotations_are_in_the_source(page: Path) -> None:
    quotes = QUOTE.findall(page.read_text(encoding="utf-8"))
    for name, code in quotes:
        source, offset = (ROOT / name).read_text(encoding="utf-8"), 0
        for part in ELLIPSIS.split(code):  # in this order
            assert part in source[offset:], f"{name} has no longer:\n{part}"
            offset = source.index(part, offset) + len(part)


@by_name
def test_pages_have_pictures_and_solved_exercises(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    pictures = PICTURE.findall(text)
    assert pictures
    assert all((page.parent / picture).exists() for picture in pictures), pictures
    solutions = text.count("<details>\n<summary>")
    assert 3 <= solutions <= 5
    assert (
        len(re.findall(r"^\*\*(?:Exercise|习题) \d\.\*\* ", text, re.MULTILINE)) == solutions == text.count("\n</details>\n")
    )


@pytest.mark.parametrize("language", ["", "zh"])
def test_every_picture_is_used(language: str) -> None:
    ending = ".zh.svg" if language else ".svg"
    pages = [page for page in PAGES if page.parent == ROOT / "docs" / language / "learn"]
    used = {Path(name).name for page in pages for name in PICTURE.findall(page.read_text(encoding="utf-8"))}
    drawn = {path.name for path in (ROOT / "docs/images/learn").glob(f"*{ending}")}
    drawn = {name for name in drawn if name.endswith(".zh.svg") == bool(language)}
    assert used == drawn if not language else used <= drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())
def test_the_index_lists_every_page(page: Path) -> None:
    assert f"({page.name})" in (page.parent / "index.md").read_text(encoding="utf-8")
