"""What a person sees of a running search."""

import pytest

from lmcraft.hyperparameters.progress import SearchDisplay, describe_change
from lmcraft.hyperparameters.trial import CurvePoint, State, Trial

SIGNS = {"bits_per_byte": 1, "arithmetic/accuracy": -1}
CURVE = (CurvePoint(10, {"bits_per_byte": 2.0}), CurvePoint(20, {"bits_per_byte": 1.5}))


@pytest.mark.parametrize(
    ("trial", "before", "line"),
    [
        (Trial(number=0, point={}, state=State.RUNNING), State.WAITING, ""),
        (
            Trial(number=1, point={}, state=State.PAUSED, step=20, curve=CURVE, seconds=3.0),
            State.RUNNING,
            "trial 1: bits_per_byte 1.5 at step 20, after 3.0 s; paused",
        ),
        (
            Trial(number=2, point={}, state=State.COMPLETE, values={"bits_per_byte": 1.25, "arithmetic/accuracy": 0.5}),
            State.RUNNING,
            "trial 2: bits_per_byte 1.25, arithmetic/accuracy 0.5 after 0.0 s",
        ),
        (
            Trial(number=3, point={}, source=2, state=State.COMPLETE, values={"bits_per_byte": 1.3}),
            State.RUNNING,
            "trial 3, with the settings of 2: bits_per_byte 1.3 after 0.0 s",
        ),
        (Trial(number=4, point={}, state=State.FAILED, error="no memory"), State.RUNNING, "trial 4 failed: no memory"),
        (
            Trial(number=5, point={}, state=State.INFEASIBLE, error="depth=0"),
            State.RUNNING,
            "trial 5 is infeasible: depth=0",
        ),
        (Trial(number=6, point={}, step=5), State.RUNNING, "trial 6 waits for a worker, at step 5"),
        (Trial(number=7, point={}), None, ""),
    ],
)
def test_a_change_of_a_trial_in_a_line(trial: Trial, before: State | None, line: str) -> None:
    assert describe_change(trial, before, SIGNS) == line


def test_each_change_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    done = Trial(number=0, point={}, state=State.COMPLETE, values={"bits_per_byte": 1.0})
    running = Trial(number=1, point={}, state=State.RUNNING)
    with SearchDisplay(3, SIGNS, [done]) as display:
        assert display.update([done, running])
        assert not display.update([done, running])
        failed = Trial(number=1, point={}, state=State.FAILED, error="no \x1b[31mmemory")
        assert display.update([done, failed])
    assert capsys.readouterr().err == "trial 1 failed: no " r"\x1b[31mmemory" "\n"
