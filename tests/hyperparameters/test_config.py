import tomllib
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cli import main, parse_command
from lmcraft.config import read_toml
from lmcraft.errors import UserError
from lmcraft.hyperparameters.config import SEARCH_FILE, SearchConfig, format_space

SPACE = """
[search]
trials = 7
sampler = "random"
constraints = ["pretrain.depth < 3"]

[pretrain]
data = "my data"
depth = { low = 1, high = 4 }
optimizer.name = { choices = ["normuon", "adamw"] }
optimizer.beta2 = { low = 0.9, high = 0.999, when = { "optimizer.name" = ["adamw"] } }
model.hidden_size = 64
tasks = ["a", "b"]
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    file = tmp_path / "space.toml"
    file.write_text(SPACE)
    return file


def parsed(*tokens: Any) -> SearchConfig:
    call = parse_command(["search", *map(str, tokens)])
    (config,) = (*call.args, *call.keywords.values())
    assert isinstance(config, SearchConfig)
    return config


def test_flags_win_over_the_space_file(space: Path) -> None:
    config = parsed(space, "--trials", 20)
    assert (config.space, config.trials, config.sampler) == (space, 20, "random")
    assert config.constraints == ("pretrain.depth < 3",)
    assert parsed(space).trials == 7


def test_settings_of_a_call_from_python_win_over_the_space_file(space: Path) -> None:
    config = SearchConfig.from_settings(space, trials=20)
    assert (config.space, config.trials, config.sampler) == (space, 20, "random")
    assert SearchConfig.from_settings(space=str(space)) == SearchConfig.from_toml(space) == parsed(space)


@pytest.mark.parametrize("flags", [["--resume"], ["--ask"], ["--tell", "3"], ["--export-optuna", "x.db"]])
def test_a_search_is_continued_by_its_folder_alone(space: Path, flags: list[str]) -> None:
    file = space.rename(space.with_name(SEARCH_FILE))
    file.write_text(SPACE.replace("[search]", '[search]\nout = "where it was"'))
    config = parsed("--out", file.parent, *flags)
    assert (config.space, config.out, config.trials) == (file, file.parent, 7)
    assert parsed("--out", file.parent, *flags, "--trials", 9).trials == 9
    assert SearchConfig.from_settings(out=file.parent, resume=True).trials == 7


def test_a_printed_space_is_the_same_space(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(space), "--workers", "2", "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert {name: table for name, table in printed.items() if name != "search"} == {"pretrain": read_toml(space)["pretrain"]}
    assert (printed["search"]["workers"], printed["search"]["trials"]) == (2, 7)
    assert "space" not in printed["search"] and "ask" not in printed["search"]


def test_ranges_are_written_in_one_line(space: Path) -> None:
    lines = format_space(parsed(space), read_toml(space)).splitlines()
    assert "depth = { low = 1, high = 4 }" in lines
    assert 'optimizer.beta2 = { low = 0.9, high = 0.999, when = { "optimizer.name" = ["adamw"] } }' in lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[search]\ntrails = 3", "there is no option trails in [search] of"),
        ("[search]\ntrials = 'three'", "three"),
        ("[search]\nresume = true", "sets search.resume, which belongs to one call: give --resume"),
        ("search = 3", "search=3 in"),
        ("[search", "cannot be read as TOML"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    assert main(["search", str(file)]) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(UserError):
        SearchConfig.from_settings(file)


@pytest.mark.parametrize("place", [["--space"], ["--trials", "9"], ["--resume", "--out", "x.toml"]])
def test_the_space_may_come_after_flags(space: Path, place: list[str]) -> None:
    assert parsed(*place, space).sampler == "random"
