"""Durations and amounts of energy in settings: from flags, files and Python, and back."""

from pathlib import Path

import pytest

import lmcraft
from lmcraft import PretrainConfig, QuickstartConfig
from lmcraft.cli import main, parse_command
from lmcraft.errors import UserError
from lmcraft.quantities import Duration, EnergyAmount


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1.5h", 5400),
        (" 2 m ", 120),
        ("1h30m", 5400),
        ("2D", 172800),
        ("10", 600),
        (0.5, 30),
        (0, 0),
    ],
)
def test_durations(value: str | float, seconds: float) -> None:
    assert Duration.read(value) == seconds


@pytest.mark.parametrize(
    ("value", "joules"),
    [
        ("900J", 900),
        ("0.2kWh", 720_000),
        ("50Wh", 180_000),
        ("1.5 MJ", 1.5e6),
        ("2kj", 2000),
        ("50mWh", 180),
        (0, 0),
        ("0", 0),
    ],
)
def test_amounts_of_energy(value: str | float, joules: float) -> None:
    assert EnergyAmount.read(value) == pytest.approx(joules)


@pytest.mark.parametrize(
    "value", ["m", "5x", "-5m", "nan s", "1e999s", "", "5,5m", "٣m", True, None, -1.0, float("nan"), "0.2kWh"]
)
def test_what_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"time_budget=.* is not a duration: write 30s, 10m, 1.5h or 2d"):
        PretrainConfig(Path("d"), time_budget=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["10", 0.2, "10m", "5Wx", "-5Wh", Duration(3)])
def test_what_is_no_energy_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"energy_budget=.* is not an amount of energy: write it with its unit"):
        PretrainConfig(Path("d"), energy_budget=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [600.0, 90.0, 0.1, 0.333, 86400 * 1.7, 12345.678901, 1e-9, 1e300, 0.0])
def test_the_text_gives_the_same_number_again(seconds: float) -> None:
    assert Duration.read(str(Duration(seconds))) == seconds
    assert EnergyAmount.read(str(EnergyAmount(seconds))) == seconds


def test_flags_files_and_python_read_them_alike(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    config = PretrainConfig(Path("d"), time_budget="10m", energy_budget="0.2kWh")  # type: ignore[arg-type]
    file.write_text(config.to_toml())
    assert 'time_budget = "10m"' in file.read_text() and 'energy_budget = "200Wh"' in file.read_text()
    assert PretrainConfig.from_toml(file) == config
    assert parse_command(["pretrain", "d", "--time-budget", "10", "--energy-budget=200 Wh"]).args == (config,)
    file.write_text('data = "d"\ntime_budget = 10\nenergy_budget = "200Wh"\n')
    assert parse_command(["pretrain", str(file)]).args == (config,)


def test_a_file_of_an_earlier_run_has_minutes(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('data = "d"\nmax_time = 0.5\n')
    assert PretrainConfig.from_toml(file).time_budget == parse_command(["pretrain", str(file)]).args[0].time_budget == 30


def test_the_earlier_flag_names_the_present_one() -> None:
    with pytest.raises(UserError, match="--max-time is now --time-budget, and takes a unit"):
        parse_command(["pretrain", "d", "--max-time", "30"])
    with pytest.raises(UserError, match="is it 'time_budget'"):
        lmcraft.pretrain("d", max_time=30)  # type: ignore[call-overload]


def test_a_default_is_shown_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert QuickstartConfig().time_budget == 210
    assert main(["quickstart", "--help"]) == 0
    assert "3.5m" in capsys.readouterr().out
