"""The meter: what it counts, and the energy between two readings."""

import os
import subprocess
import sys

import pytest

from lmcraft.energy import Energy, Part, emissions, find_grid, format_emissions, format_energy, measuring, open_meter
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

    before = processor_seconds()
    burn(0.1)
    own = processor_seconds()
    assert own - before >= 0.09
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.2)], check=True)
    ended = processor_seconds()
    assert ended - own >= 0.19
    code = BURN.format(seconds=0.2) + "print('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        assert processor_seconds() - ended >= 0.19
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
