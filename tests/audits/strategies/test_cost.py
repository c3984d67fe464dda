"""Processor time and energy."""

from pathlib import Path

import pytest

from lmcraft.audits.strategies.cost import Cost, read_cost, recording_cost
from lmcraft.energy import Energy


def test_costs_add_up_over_interruptions(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    with pytest.raises(KeyboardInterrupt), recording_cost(file):
        sum(n * n for n in range(200_000))
        raise KeyboardInterrupt
    first = read_cost(file)
    with recording_cost(file):
        sum(n * n for n in range(200_000))
    second = read_cost(file)
    assert second.processor_seconds > first.processor_seconds > 0 and second.seconds > first.seconds
    assert second.energy.joules > first.energy.joules > 0 and second.energy.method
    assert Cost(1, 2, Energy(3, 2, 4)) + Cost(1, 1, Energy(1, 1, 1)) == Cost(2, 3, Energy(4, 3, 5))


def test_an_older_file_has_no_energy(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    file.write_text('{"seconds": 1.0, "processor_seconds": 2.0, "joules": 0.0}')
    assert read_cost(file) == Cost(1.0, 2.0)
