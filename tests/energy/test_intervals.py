"""Interval honesty: on simulated machines, the truth and the rung above lie in the interval of each rung."""

import random
from itertools import pairwise

import pytest

from lmcraft.energy.energy import Energy
from lmcraft.energy.meter import Meter
from lmcraft.energy.power_table import MachinePower
from tests.energy.simulated_machine import SimulatedCounters, SimulatedMachine

MACHINES = 300
# Shares of all CPUs that this work and other work keep busy: alone on all, on half, on a few; beside other work.
LOADS = ((1.0, 0.0), (0.5, 0.0), (0.1, 0.0), (0.5, 0.5), (0.1, 0.8), (0.05, 0.05))


def measure(machine: SimulatedMachine, method: str, power: MachinePower, own: float, others: float) -> Energy:
    """Ten seconds of work by a rung of the ladder."""
    meter = Meter(
        method,
        power,
        powercap=SimulatedCounters(machine, has_memory=True),
        read_machine_load=machine.load,
        processor_seconds=lambda: machine.own_seconds,
        clock=lambda: machine.seconds,
    )
    since = meter.read()
    for _ in range(5):
        machine.run(2.0, own, others)
    return meter.energy(since)


@pytest.mark.parametrize("load", LOADS, ids=str)
def test_the_truth_and_the_rung_above_lie_in_the_interval(load: tuple[float, float]) -> None:
    truth_in_rapl = truth_in_time = rapl_in_time = measured_in_rapl = 0
    for seed in range(MACHINES):
        machine = SimulatedMachine.drawn(random.Random(seed))
        rapl = measure(machine, "rapl", machine.power, *load)
        truth, machine.true_joules = machine.true_joules, 0.0
        by_time = measure(machine, "cpu time", machine.power, *load)
        measured = measure(machine, "cpu time", machine.measured_power, *load)
        truth_in_rapl += rapl.low <= truth <= rapl.high
        truth_in_time += by_time.low <= truth <= by_time.high
        rapl_in_time += by_time.low <= rapl.joules <= by_time.high
        measured_in_rapl += rapl.low <= measured.joules <= rapl.high
    assert min(truth_in_rapl, truth_in_time, rapl_in_time) >= 0.97 * MACHINES
    assert measured_in_rapl >= 0.92 * MACHINES


@pytest.mark.parametrize("method", ["rapl", "cpu time"])
def test_energies_of_consecutive_times_add_up(method: str) -> None:
    """Also when the load changes; and waiting adds nothing to what work before it drew."""
    machine = SimulatedMachine.drawn(random.Random(1))
    meter = Meter(
        method,
        machine.power,
        powercap=SimulatedCounters(machine, has_memory=False),
        read_machine_load=machine.load,
        processor_seconds=lambda: machine.own_seconds,
        clock=lambda: machine.seconds,
    )
    readings = [meter.read()]
    for step in range(40):
        machine.run(0.3, 0.02 * step, 0.2 if step % 3 else 0.0)
        readings.append(meter.read())
    parts = [meter.energy(since, until) for since, until in pairwise(readings)]
    total = meter.energy(readings[0], readings[-1])
    assert sum(parts, Energy()).joules == pytest.approx(total.joules)
    assert total.method == method and all(part.low <= part.joules <= part.high for part in parts)
    machine.run(0.7, 0.3, 0.0)
    machine.run(3600.0, 0.0, 0.0)
    waited = meter.read()
    machine.run(3600.0, 0.0, 0.1)
    assert meter.energy(waited).joules == 0 and meter.energy(waited).method == method


def test_a_reset_counter_leaves_its_time_to_the_rung_below() -> None:
    machine = SimulatedMachine.drawn(random.Random(2))
    powercap = SimulatedCounters(machine, has_memory=False)
    meter = Meter(
        "rapl",
        machine.power,
        powercap=powercap,
        read_machine_load=machine.load,
        processor_seconds=lambda: machine.own_seconds,
        clock=lambda: machine.seconds,
    )
    since = meter.read()
    machine.run(1.0, 1.0, 0.0)
    assert meter.energy(since).method == "rapl"
    powercap.is_readable = False
    machine.run(1.0, 1.0, 0.0)
    energy = meter.energy(since)
    assert energy.method == "rapl + cpu time"
    powercap.is_readable = True
    machine.run(1.0, 1.0, 0.0)
    longer = meter.energy(since)
    assert longer.joules > energy.joules > 0 and longer.low < longer.joules < longer.high
