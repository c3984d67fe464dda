"""The meter: what it counts, and the energy between two readings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.energy import Energy, Part, emissions, find_grid, format_emissions, format_energy, measuring, open_meter
from lmcraft.energy.power_table import find_design_power, find_power, machine_power
from lmcraft.energy.process_tree import ProcessTree
from lmcraft.errors import UserError

BURN = "import time\nwhile time.process_time() < {seconds}: pass\n"


def burn(seconds: float) -> None:
    begin = os.times()
    while os.times().user + os.times().system < begin.user + begin.system + seconds:
        sum(range(1000))


def test_work_of_this_process_and_of_ended_and_living_children_counts() -> None:
    def processor_seconds() -> float:
        return ProcessTree().processor_seconds()  # a tree of its own looks for descendants at once

    before = processor_seconds()  # children's times are cut to hundredths of a second, of user and system each
    burn(0.1)
    own = processor_seconds()
    assert own - before >= 0.07
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.2)], check=True)
    ended = processor_seconds()
    assert ended - own >= 0.17
    code = BURN.format(seconds=0.2) + "print('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        assert processor_seconds() - ended >= 0.17
        child.communicate(b"\n")


def test_energy_grows_while_inside_and_is_final_after() -> None:
    with measuring() as measured:
        burn(0.05)
        first = measured.energy
        burn(0.05)
        assert measured.energy.joules > first.joules > 0
    final = measured.energy
    burn(0.05)
    assert measured.energy == final
    assert final.low < final.joules < final.high and final.method == open_meter().method


def test_energies_add_scale_and_survive_json() -> None:
    energy = Energy.of_parts({"processor": Part(4, 2, 8, "cpu time"), "gpu": Part(10, 9, 12, "nvml")}, 2.0)
    assert (energy.joules, energy.low, energy.high, energy.method) == (14, 11, 20, "nvml + cpu time")
    assert energy + energy == energy.scaled(2)
    assert Energy.from_json(energy.as_json()) == energy
    assert sum([energy, energy], Energy()).kwh == pytest.approx(28 / 3.6e6)
    assert format_energy(Energy(44280, 29160, 73440, "rapl")) == "12.3 Wh (8.1 to 20.4)"


def test_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = Energy(3.6e6, 3.6e6, 3.6e6, "rapl")
    france = emissions(energy, "france")
    assert france == emissions(energy, "FR") and france.region == "FR" and 20 < france.grams < 100
    world = emissions(energy)
    assert world.region == "WORLD" and world.low < france.grams < world.grams < world.high
    monkeypatch.setenv("LMCRAFT_REGION", "us-ca")
    assert find_grid().code == "US-CA"
    assert find_grid("Georgia").code == "GE"
    assert "US-CA" in format_emissions(emissions(energy))
    with pytest.raises(UserError, match="region='Atlantis' is no region"):
        find_grid("Atlantis")


def test_descendants_on_a_kernel_without_lists_of_children(tmp_path: Path) -> None:
    own = os.getpid()
    for pid, parent, name in ((own, 1, "a"), (90001, own, "b) R 1 (c"), (90002, 90001, "d"), (90003, 1, "e")):
        (tmp_path / str(pid)).mkdir()
        times = "100 50 10 0" if pid != own else "0 0 0 0"
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {times} 20 0 1 0\n")
    (tmp_path / "90004").mkdir()  # it has just ended
    tree = ProcessTree(tmp_path)
    assert sorted(tree.pids()) == sorted([own, 90001, 90002])
    children = tree.processor_seconds() - ProcessTree(tmp_path / "none").processor_seconds()
    assert children == pytest.approx(2 * 160 / os.sysconf("SC_CLK_TCK"), abs=0.1)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LMCRAFT_METER", "watts", "LMCRAFT_METER='watts' is no meter"),
        ("LMCRAFT_REGION", "Atlantis", "LMCRAFT_REGION='Atlantis' is no region"),
        ("LMCRAFT_CPU_WATTS", "nan", "LMCRAFT_CPU_WATTS='nan' is no power"),
        ("LMCRAFT_CPU_WATTS", "-4", "LMCRAFT_CPU_WATTS='-4' is no power"),
    ],
)
def test_wrong_settings_are_refused_before_the_work(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    open_meter.cache_clear()
    machine_power.cache_clear()
    try:
        with pytest.raises(UserError, match=message):
            open_meter()
    finally:
        open_meter.cache_clear()
        machine_power.cache_clear()


def test_processors_have_the_power_of_their_names() -> None:
    for name, watts in (
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("12th Gen Intel(R) Core(TM) i7-12700H", 45),
        ("Intel(R) Xeon(R) CPU E5-2699 v4 @ 2.20GHz", 145),
        ("AMD Ryzen 7 5800U with Radeon Graphics", 15),
        ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", 28),
        ("Apple M2", 22),
    ):
        assert find_design_power(name) == watts, name
    assert find_design_power("AMD EPYC") is None and find_design_power("") is None
    assert find_power("Apple M2", 8, 1, is_virtual=False).watts.best == pytest.approx(22 / 8)
    hidden, named = (
        find_power(name, 2, 1, is_virtual=True).watts for name in ("AMD EPYC", "AMD EPYC 7763 64-Core Processor")
    )
    assert hidden.high / hidden.low > named.high / named.low and named.low == pytest.approx(280 / 128)
