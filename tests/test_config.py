"""Configurations from Python: values are converted to their types or refused; the text form shows what was set."""

from pathlib import Path
from typing import Any

import pytest

import lmcraft
from lmcraft import FinetuneConfig, GenerateConfig, PrepareConfig, PretrainConfig, QuickstartConfig, UserError
from lmcraft.cli import parse_command
from lmcraft.commands import COMMANDS, Command
from lmcraft.config import takes_settings
from lmcraft.setting_values import expand_user
from lmcraft.training.config import OptimizerConfig


def test_paths_may_be_strings() -> None:
    config = PretrainConfig("datasets/mine", out="models/mine")  # type: ignore[arg-type]
    assert (config.data, config.out) == (Path("datasets/mine"), Path("models/mine"))
    assert QuickstartConfig(text="my.txt").text == Path("my.txt")  # type: ignore[arg-type]
    assert PretrainConfig("d", out="~/models").out == Path.home() / "models"  # type: ignore[arg-type]
    assert FinetuneConfig("m", "~/a~b.jsonl").data == (Path.home() / "a~b.jsonl",)  # type: ignore[arg-type]
    assert PretrainConfig("~nobody-at-all/d", out="b~/~").out == Path("b~/~")  # type: ignore[arg-type]
    assert GenerateConfig(Path("models/mine")).model == "models/mine"  # type: ignore[arg-type]


def test_tuples_may_be_lists_or_a_single_value() -> None:
    assert PrepareConfig(["a.txt"], out="d") == PrepareConfig("a.txt", out="d")  # type: ignore[arg-type]
    assert FinetuneConfig("m", "a.jsonl").data == (Path("a.jsonl"),)  # type: ignore[arg-type]


def test_whole_numbers_are_numbers() -> None:
    config = PretrainConfig("d", optimizer=OptimizerConfig(learning_rate=30, beta1=0))  # type: ignore[arg-type]
    assert (repr(config.optimizer.learning_rate), repr(config.optimizer.beta1)) == ("30.0", "0.0")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "4"}, "depth='4' is not a whole number"),
        ({"depth": True}, "depth=True is not a whole number"),
        ({"seed": None}, "seed=None is not a whole number"),
        ({"out": 3}, "out=3 is not a path"),
        ({"out": ""}, "out='' is not a path"),
        ({"label_smoothing": float("nan")}, "label_smoothing=nan is not a finite number"),
        ({"label_smoothing": 10**400}, "is not a finite number"),
        (
            {"optimizer": OptimizerConfig(learning_rate=0.1), "label_smoothing": "0.1"},
            "label_smoothing='0.1' is not a finite",
        ),
        ({"precision": "fp8"}, "precision='fp8' is not one of 'auto', 'bf16', 'fp32'"),
        ({"optimizer": {"nam": "adamw"}}, "optimizer={'nam': 'adamw'} is not a dict with these settings: name, learn"),
        ({"optimizer": {"name": "adamww"}}, "optimizer.name='adamww' is not one of 'normuon'"),
        ({"optimizer": OptimizerConfig(name="adamww")}, "optimizer.name='adamww' is not one of 'normuon'"),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_another_type_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PretrainConfig(Path("d"), **settings)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "command",
    [
        "pretrain d --label-smoothing",
        "pretrain d --optimizer.learning-rate",
        "plan --data d --watts",
        "finetune m d --method.alpha",
        "generate m hi --logit-bias.99",
        "generate m hi --temperature",
        "prepare d --out x --validation",
    ],
)
def test_numbers_that_are_not_finite_are_refused(command: str, number: str) -> None:
    with pytest.raises(UserError, match=r"=.*(nan|inf).* is not (a table in which each value is )?a finite number$"):
        parse_command([*command.split(), number])


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_some_generator_does_not_take_is_refused(seed: int) -> None:
    with pytest.raises(UserError, match=rf"seed={seed} is out of range: use a whole number from 0 to 2\*\*63 - 1"):
        PretrainConfig(Path("data"), out=Path("model"), seed=seed)


def test_a_group_of_settings_may_be_a_dict() -> None:
    config = PretrainConfig("d", optimizer={"momentum": 0.9, "beta1": 0})  # type: ignore[arg-type]
    assert config == PretrainConfig(Path("d"), optimizer=OptimizerConfig(momentum=0.9, beta1=0.0))


@takes_settings(PretrainConfig)
def run(config: PretrainConfig) -> PretrainConfig:
    return config


def test_a_command_takes_its_configuration_or_its_settings() -> None:
    config = PretrainConfig(Path("d"), depth=3)
    by_name: Any = run
    assert run(config) is config and run(config=config) is config
    assert by_name("d", depth=3) == by_name(data="d", depth=3) == config


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ((), {}, r"run\(\) needs data: give data=\.\.\."),
        (("d",), {"dept": 3}, r"run\(\) has no setting 'dept': is it 'depth'\?"),
        (("d",), {"xyzzy": 3}, r"has no setting 'xyzzy': help\(lmcraft.PretrainConfig\) lists its settings"),
        (("d",), {"learning_rate": 3}, r"has no setting 'learning_rate': write optimizer={'learning_rate': \.\.\.}"),
        (("d", "e"), {}, r"takes data without a name, but 2 values are given: name the others"),
        (("d",), {"data": "e"}, "has two values for data: give one"),
        ((5,), {}, "data=5 is not a path"),
        ((GenerateConfig("m"),), {}, r"run\(\) takes lmcraft.PretrainConfig or its settings, not GenerateConfig"),
        ((PretrainConfig(Path("d")),), {"depth": 3}, r"run\(\) takes lmcraft.PretrainConfig or its settings, not both"),
    ],
)
def test_a_wrong_call_of_a_command_says_how_to_call_it(values: Any, settings: dict[str, Any], message: str) -> None:
    call: Any = run
    with pytest.raises(UserError, match=message):
        call(*values, **settings)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_can_be_called_with_its_settings(command: Command) -> None:
    with pytest.raises(UserError, match=rf"{command.function}\(\) has no setting 'xyzzy'"):
        getattr(lmcraft, command.function)("x", xyzzy=3)


def test_the_text_form_shows_what_was_set() -> None:
    config = PretrainConfig(Path("d"), time_budget=30, optimizer=OptimizerConfig(momentum=0.9))
    assert repr(config) == "PretrainConfig(data='d', optimizer=OptimizerConfig(momentum=0.9), time_budget='30m')"
    assert repr(lmcraft.GenerationConfig(top_p=0.9)) == "GenerationConfig(top_p=0.9)"


def test_help_explains_each_generation_setting() -> None:
    assert "    min_p: Keep tokens at least P times as likely" in str(lmcraft.GenerationConfig.__doc__)


def test_a_way_through_a_missing_folder_leads_where_the_output_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system finds nothing at `missing/../notes`, and writing would create `notes`."""
    monkeypatch.chdir(tmp_path)
    assert PretrainConfig(Path("d"), out=Path("missing/../notes")).out == tmp_path / "notes"
    assert PretrainConfig(Path("d"), out=Path("models/notes")).out == Path("models/notes")


@pytest.mark.parametrize("name", ["~", "~.jsonl", "~$notes.txt", "~no-such-user/a", "a/~"])
def test_a_tilde_that_names_no_user_is_part_of_the_name(name: str) -> None:
    assert expand_user(name) == (Path.home() if name == "~" else Path(name))


def test_paths_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    """They could be opened, but not recorded in a run.toml."""
    file = tmp_path / "caf\udce9.jsonl"
    for make in (
        lambda: FinetuneConfig("m", (Path("a"), file)),
        lambda: FinetuneConfig("m", (Path("a"),), validation_data=(file,)),
        lambda: PretrainConfig(file),
    ):
        with pytest.raises(UserError, match=r"data is not UTF-8, since it has the byte 0xe9: give it in UTF-8"):
            make()
    file.write_text("")
    with pytest.raises(UserError, match=r"byte 0xe9: rename '.*jsonl'"):
        FinetuneConfig("m", (file,))


@pytest.mark.parametrize("name", ["data", "out", "sample_prompt"])
def test_what_is_recorded_is_utf8(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not UTF-8, since it has the byte 0xe9"):
        PretrainConfig(**({"data": "d"} | {name: "caf\udce9"}))
    with pytest.raises(UserError, match="variables is not UTF-8"):
        FinetuneConfig("m", "d", variables={"name": "\udce9"})


def test_a_folder_below_one_whose_name_is_not_utf8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "caf\udce9").mkdir()
    monkeypatch.chdir(tmp_path / "caf\udce9")
    with pytest.raises(UserError, match="the full path of out='model' is not UTF-8, since it has the byte 0xe9"):
        PretrainConfig("d", out="model")
