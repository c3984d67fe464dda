"""The progress of a run on a terminal and in a log."""

import pytest

from lmcraft.training import display
from lmcraft.training.display import Display


def test_a_log_gets_a_line_every_ten_seconds_and_the_last_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(display, "monotonic", lambda: clock[0])
    with Display(max_steps=30, step=0) as shown:
        for step in range(1, 31):
            clock[0] += 1.0
            shown.update(step, f"loss {step}", seconds_left=30.0 - step)
        shown.print_line("[done] a line that is longer than any terminal: " + "x" * 200)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["1/30", "12/30", "23/30", "30/30"]
    assert lines[0] == "step 1/30  loss 1  29 s left" and lines[-1].startswith("[done]") and lines[-1].endswith("x")


def test_a_quiet_display_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(max_steps=1, step=0, quiet=True) as shown:
        shown.update(1, "loss 1", seconds_left=0.0)
        shown.print_line("nothing")
    assert capsys.readouterr().err == ""


def test_what_a_model_writes_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(max_steps=1, step=0) as display:
        display.print_line("a sample \x1b[2J\twith\nlines")
    printed = capsys.readouterr().err
    assert "\x1b" not in printed and r"a sample \x1b[2J" in printed and "with\nlines" in printed
