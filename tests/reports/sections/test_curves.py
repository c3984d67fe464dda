"""The curves of a run."""

from typing import Any

from lmcraft.reports.evidence import Training
from lmcraft.reports.sections.curves import loss_section, points_of, speed_section


def training_of(rows: list[dict[str, Any]]) -> Training:
    return Training("pretrain", "", {}, "lmcraft/run.toml", 1, "", rows, [], {}, "")


def test_the_last_row_of_a_step_counts() -> None:
    rows = [{"step": step, "loss": step + 1.0} for step in (1, 2, 3, 2)] + [{"step": 2, "loss": 9.0}]
    assert points_of(rows, "loss") == [(1.0, 2.0), (2.0, 9.0), (3.0, 4.0)]


def test_what_is_no_number_is_left_out() -> None:
    values: list[Any] = [float("nan"), float("inf"), 10**400, True, "1", None, [1], 0.5]
    rows = [{"step": step, "loss": value} for step, value in enumerate(values)] + [{"step": 10**400, "loss": 1.0}]
    assert points_of(rows, "loss") == [(7.0, 0.5)]


def test_the_lowest_validation_loss_is_marked() -> None:
    rows = [{"step": step, "loss": 3.0, "validation_loss": loss} for step, loss in ((1, 3.0), (2, 1.25), (3, 2.0))]
    section = loss_section(training_of(rows))
    assert ">1.25</text>" in section and "The dot is the lowest validation loss" in section
    assert "Bands" not in section and "The dot" not in loss_section(training_of([{"step": 1, "loss": 3.0}]))


def test_a_long_run_is_a_small_page() -> None:
    row = {"loss": 1.0, "tokens_per_second": 2.0, "learning_rate": 0.1, "peak_memory": 2**30}
    training = training_of([row | {"step": step, "loss": float(step % 7)} for step in range(100_000)])
    assert len(loss_section(training) + speed_section(training)) < 100_000
