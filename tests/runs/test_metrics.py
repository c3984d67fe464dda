import json
from typing import Any

import numpy as np
import pytest

from lmcraft.runs.metrics import MAX_NAMES, MAX_TABLES, Metrics


def metrics_of(*rows: dict[str, Any]) -> Metrics:
    metrics = Metrics()
    metrics.add_lines([json.dumps(row).encode() for row in rows])
    return metrics


def points(metrics: Metrics, name: str) -> list[tuple[int, float]]:
    series = metrics.series(name)
    return [] if series is None else list(zip(series.steps.tolist(), series.mean.tolist(), strict=True))


def test_each_name_has_its_column_whatever_rows_it_is_in() -> None:
    metrics = metrics_of(
        {"step": 1, "loss": 5.1, "seconds": 1.0},
        {"step": 2, "loss": 5.0, "seconds": 2.0, "joules": 7},
        {"step": 2, "validation_loss": 4.9, "seconds": 2.0},
    )
    assert metrics.names == ["loss", "seconds", "joules", "validation_loss"]
    assert points(metrics, "loss") == [(1, 5.1), (2, 5.0)]
    assert points(metrics, "seconds") == [(1, 1.0), (2, 2.0)]
    assert points(metrics, "validation_loss") == [(2, 4.9)]
    assert metrics.last_step == 2 and metrics.latest("joules") == 7
    assert metrics.lowest("validation_loss") == (2, 4.9) and metrics.lowest("nothing") is None


def test_rows_from_a_step_on_are_replaced_by_a_row_that_goes_back() -> None:
    metrics = metrics_of(*({"step": step, "loss": float(step)} for step in (1, 2, 3, 4)))
    assert metrics.add_lines([b'{"step": 3, "loss": 30}'])
    assert points(metrics, "loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert not metrics.add_lines([b'{"step": 4, "loss": 40}'])


def test_figures_of_tasks_are_columns_with_their_intervals_and_the_value_of_a_guess() -> None:
    row = {
        "step": 5,
        "tasks": {"quiz": {"accuracy": [0.5, 0.4, 0.6], "bits_per_byte": [1.5, None, None]}},
        "items": {"quiz": 10},
        "chance": {"quiz": 0.25},
        "task_seconds": 2.5,
    }
    metrics = metrics_of(row)
    assert metrics.names == ["task_seconds", "tasks/quiz/accuracy", "tasks/quiz/bits_per_byte"]
    series = metrics.series("tasks/quiz/accuracy")
    assert series is not None
    assert series.as_json() == {"steps": [5], "low": [0.4], "high": [0.6], "mean": [0.5]}
    assert metrics.chance == {"tasks/quiz/accuracy": 0.25}


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[1, 2]",
        b"null",
        b'"text"',
        b'{"loss": 1}',
        b'{"step": -1, "loss": 1}',
        b'{"step": 1.5, "loss": 1}',
        b'{"step": true, "loss": 1}',
        b'{"step": 9007199254740993, "loss": 1}',
        b'{"step": "1", "loss": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"step": 1' + b"0" * 5000 + b"}",
        b'{"step": 1, "loss": 1}, {"step": 2}',
    ],
    ids=range(14),
)
def test_a_damaged_line_is_counted_and_left_out(line: bytes) -> None:
    metrics = Metrics()
    metrics.add_lines([b'{"step": 1, "loss": 5}', line, b"", b'{"step": 2, "loss": 4}'])
    assert points(metrics, "loss") == [(1, 5.0), (2, 4.0)]
    assert metrics.damaged_lines == 1


def test_values_that_are_no_numbers_are_gaps() -> None:
    metrics = Metrics()
    lines = [b"1", b"NaN", b"null", b'"x"', b"[1]", b"Infinity", b"1" + b"0" * 400, b"2"]
    metrics.add_lines([b'{"step": %d, "loss": %s, "b": 1}' % (n, value) for n, value in enumerate(lines)])
    assert points(metrics, "loss") == [(0, 1.0), (7, 2.0)]
    assert len(points(metrics, "b")) == 8


def test_the_number_of_names_is_bounded() -> None:
    many = metrics_of(*({"step": n, f"name {n}": 1} for n in range(2 * MAX_TABLES)))
    assert len(many.names) == MAX_TABLES and many.is_cut
    wide = metrics_of({"step": 1, **{f"name {n}": n for n in range(MAX_NAMES + 1)}})
    assert wide.names == [] and wide.is_cut


def test_a_row_takes_8_bytes_for_each_number_and_two_for_its_step() -> None:
    metrics = metrics_of(*({"step": n, "loss": 1.0, "seconds": 1.0} for n in range(100)))
    assert metrics.num_bytes == 100 * (8 + 3 * 8)
    assert np.isfinite(metrics.recent_median("loss") or np.nan)
