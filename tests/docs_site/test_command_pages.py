"""Each command has a page in both languages, with its examples and settings as they are."""

from pathlib import Path

import pytest

from lmcraft.commands import COMMANDS
from scripts.docs_site.command_pages import page_name, with_current_blocks

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("folder", ["commands", "zh/commands"])
def test_a_page_has_what_the_command_has(folder: str, command: str) -> None:
    """`scripts/docs-tables` brings it up to date."""
    text = (DOCS / folder / page_name(command)).read_text(encoding="utf-8")
    assert text == with_current_blocks(text, command)


def test_there_are_no_pages_of_other_commands() -> None:
    assert {path.name for path in (DOCS / "commands").glob("*.md")} == {page_name(command) for command in COMMANDS}
