"""What the recipe code-assistant cuts out of code, and what it holds out."""

import sys
from pathlib import Path

import pytest

from recipes.__main__ import RECIPES
from recipes.packages import fetch

sys.path.insert(0, str(RECIPES / "code-assistant"))

from gaps import HUMANEVAL, PREFIX_CHARACTERS, SUFFIX_CHARACTERS, humaneval_lines, random_spans, single_lines
from infilling import passes
from python_modules import read_modules

MODULE = "".join(f"def function_{n}(value):\n    # a comment\n    return value * {n}\n\n\n" for n in range(100))


def test_packages_are_held_out_whole(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"package{n}").mkdir()
        for name in ("a.py", "b.py"):
            (tmp_path / f"package{n}" / name).write_text(f"x = {n}\n", encoding="utf-8")
    (tmp_path / "empty.py").write_text(" \n", encoding="utf-8")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
    modules = read_modules(tmp_path)
    packages = [{name.split("/")[0] for name in texts} for texts in (modules.training, modules.held_out)]
    assert packages[0] and packages[1] and not packages[0] & packages[1]
    assert sum(map(len, (modules.training, modules.held_out))) == 121
    assert len(read_modules(tmp_path, limit=3).training) == 3


def test_gaps_of_lines_are_lines_of_code() -> None:
    gaps = single_lines({"m": MODULE}, 50)
    assert len(gaps) == 50 and gaps == single_lines({"m": MODULE}, 50)
    for gap in gaps:
        assert gap.prefix + gap.middle + gap.suffix in MODULE
        assert gap.middle.strip() and "comment" not in gap.middle and "\n" not in gap.middle
        assert gap.middle.strip() not in gap.prefix + gap.suffix
        assert len(gap.prefix) <= PREFIX_CHARACTERS and len(gap.suffix) <= SUFFIX_CHARACTERS


def test_gaps_of_spans_are_anywhere() -> None:
    for gap in random_spans({"m": MODULE, "short": "x = 1"}, 50):
        assert gap.middle.strip() and gap.prefix + gap.middle + gap.suffix in MODULE + "x = 1"


@pytest.mark.slow
@pytest.mark.assets
def test_solutions_of_humaneval_pass_with_their_own_line_only() -> None:
    gaps = humaneval_lines(fetch(HUMANEVAL), 4)
    assert passes(gaps, [gap.middle for gap in gaps]) == [True] * 4
    assert passes(gaps[:1], ["    raise ValueError"]) == [False]
