"""Terminal output that the commands share."""

import io
import sys
from io import StringIO

import pytest
from rich.console import Console

from lmcraft.terminal import (
    column_table,
    escape_control_characters,
    format_bytes,
    format_count,
    format_duration,
    key_value_table,
    line_printer,
    print_notice,
    print_result,
    progress_bar,
    shows_bars,
    write_text,
)


def test_lines_go_to_standard_error_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    line = "[bold]not markup[/bold] " + "long " * 60
    line_printer()(line)
    line_printer(quiet=True)("nothing")
    captured = capsys.readouterr()
    assert captured.err == line + "\n" and captured.out == ""


def test_tables_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    table = column_table("Other [/v1]", ("[red]a", "b"), [("[bold]1", "2")])
    print_result(key_value_table("models/[v2] [/v2]", {"[b]name": "[value]"}), table, "[i]text[/i]")
    captured = capsys.readouterr()
    texts = ("models/[v2] [/v2]", "[b]name", "[value]", "Other [/v1]", "[red]a", "[bold]1", "2", "[i]text[/i]")
    assert all(text in captured.out for text in texts) and captured.err == ""


def test_a_column_table_has_its_header_and_rows() -> None:
    output = StringIO()
    Console(file=output, width=80).print(column_table("Runs", ("blocks", "loss"), [("2", "3.5"), ("3", "3.1")]))
    lines = output.getvalue().splitlines()
    assert "Runs" in lines[0] and "blocks" in lines[2] and "3.1" in lines[5]


def test_a_progress_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working") as report:
        report(1, 2)
    assert capsys.readouterr().err == ""


def test_numbers_are_short() -> None:
    assert [format_bytes(n) for n in (0, 1023, 1536, 3 * 2**20, 1.5 * 2**30, 2**41)] == [
        "0 bytes",
        "1,023 bytes",
        "1.5 KiB",
        "3.0 MiB",
        "1.50 GiB",
        "2,048.00 GiB",
    ]
    assert [format_duration(s) for s in (3.14, 119, 120, 7200, 172_800)] == [
        "3.1 s",
        "119.0 s",
        "2.0 min",
        "2.0 h",
        "2.0 days",
    ]
    assert [format_count(n) for n in (7.0, 1234, 1_250_000, 3.2e14, 1e15)] == ["7", "1.23k", "1.25M", "320T", "1e+15"]


class Screen(io.StringIO):
    """A stream that claims to be a terminal."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J\tb\n\x7f\x9b从", r"a\x1b[2J" "\tb\n" r"\x7f\x9b从"),
        ("\0\a\b\x0b\x0c", r"\x00\x07\x08\x0b\x0c"),
        ("\x1b]52;c;aGk=\x07\x1bc\x9d0;title\x9c", r"\x1b]52;c;aGk=\x07\x1bc\x9d0;title\x9c"),
        ("one\r\ntwo\rthree", "one\ntwo" r"\rthree"),
        ("abc\u202edcba\u2066\u2069", r"abc\u202edcba\u2066\u2069"),
        ("👩\u200d👩 שלום e\u0301", "👩\u200d👩 שלום e\u0301"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert escape_control_characters(text) == shown


def test_tables_show_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J"
    print_result(hostile, key_value_table(hostile, {"b": hostile}), column_table(hostile, ["c"], [[hostile]]))
    out = capsys.readouterr().out
    assert out.count(r"a\x1b[2J") == 5 and "\x1b" not in out


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    monkeypatch.delenv("NO_COLOR", raising=False)
    write_text("a\x1b从", dim=True)
    assert screen.getvalue() == "\x1b[2ma" r"\x1b?" "\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    write_text("b", dim=True)
    assert screen.getvalue().endswith("\x1b[0mb")


def test_a_pipe_gets_the_text_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    write_text("a\x1b从", dim=True)
    print_notice("b\x1b")
    assert capsys.readouterr() == ("a\x1b从", "b" r"\x1b" "\n")


@pytest.mark.parametrize(
    ("is_terminal", "is_jupyter", "has_widgets", "shown"),
    [(True, False, False, True), (False, False, True, False), (False, True, True, True), (False, True, False, False)],
)
def test_bars_are_shown_on_terminals_and_in_notebooks_with_widgets(
    is_terminal: bool, is_jupyter: bool, has_widgets: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcraft.terminal.find_spec", lambda name: object() if has_widgets else None)
    assert shows_bars(Console(force_terminal=is_terminal, force_jupyter=is_jupyter)) == shown
