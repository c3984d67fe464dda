import io
import sys

import pytest

from lmcraft.text_output import print_notice, replace_control_characters, write_text


class Screen(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_control_characters_are_replaced() -> None:
    assert replace_control_characters("a\x1b[2J\tb\n\x7f\x9b从") == "a\ufffd[2J\tb\n\ufffd\ufffd从"


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    monkeypatch.delenv("NO_COLOR", raising=False)
    write_text("a\x1b从", dim=True)
    assert screen.getvalue() == "\x1b[2ma??\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    write_text("b", dim=True)
    assert screen.getvalue().endswith("\x1b[0mb")


def test_a_pipe_gets_the_text_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    write_text("a\x1b从", dim=True)
    print_notice("b\x1b")
    assert capsys.readouterr() == ("a\x1b从", "b\ufffd\n")
