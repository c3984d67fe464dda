"""docs/families.md says what opens."""

from pathlib import Path

from tests.parity.families_page import families_table

PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def test_the_page_has_the_current_table() -> None:
    assert families_table() in PAGE.read_text(encoding="utf-8"), "run scripts/docs-tables"
