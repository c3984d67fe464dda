"""The help: every command at its stage, with examples of that command that fit into a terminal."""

import pytest

from lmcraft.cli import main
from lmcraft.commands import COMMANDS, GROUPS, STAGES
from lmcraft.commands.examples import EXAMPLES, FIRST_STEPS


def test_every_command_has_a_stage() -> None:
    words = [word for stage in STAGES.values() for word in stage]
    assert sorted(words) == sorted({name.split()[0] for name in COMMANDS})
    assert set(GROUPS) == {name.split()[0] for name in COMMANDS if " " in name}


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_show_the_command(name: str) -> None:
    lines = EXAMPLES[name].splitlines()
    assert any(line.startswith(f"lmcraft {name}") for line in lines), "no example of the command"
    assert lines[0].startswith("# ") and max(map(len, lines)) <= 78


def test_the_help_follows_the_life_of_a_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    positions = [text.index(f"╭─ {stage} ") for stage in STAGES]
    assert positions == sorted(positions) and text.index("│ prepare") < text.index("│ pretrain") < text.index("│ serve")
    assert all(f" {line.rstrip()} " in text for line in FIRST_STEPS.splitlines())


def test_the_help_of_a_command_begins_with_its_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["guard", "check", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.index(f" {EXAMPLES['guard check'].splitlines()[1]} ") < text.index("─ Parameters ")
