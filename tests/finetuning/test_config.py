"""The settings: merged from the objectives, checked by them."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.objectives.dpo import DPO
from lmcraft.finetuning.objectives.registry import OBJECTIVES


def config(objective: str, **settings: Any) -> FinetuneConfig:
    return FinetuneConfig("model", (), objective=objective, settings=ObjectiveConfig(**settings))


def test_every_setting_of_every_objective_is_a_flag() -> None:
    names = {f.name for f in fields(ObjectiveConfig)}
    assert {f.name for cls in OBJECTIVES.values() for f in fields(cls)} <= names
    assert {"l2_sp", "max_new_tokens", "general_text"} <= names


def test_an_objective_gets_its_settings() -> None:
    objective = config("dpo", beta=0.3, length_normalized=True).build_objective()
    assert objective == DPO(beta=0.3, length_normalized=True)


@pytest.mark.parametrize("name", ["chats.jsonl", "a/b.csv", "x.parquet", "x.json.gz"])
def test_a_file_of_examples_in_place_of_the_model_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"model={name} is the name of a file of examples: give the model first"):
        FinetuneConfig(name, (Path("model"),)).resolved()


@pytest.mark.parametrize(
    ("objective", "settings", "message"),
    [
        ("sft", {"beta": 0.3}, "beta=0.3 is for --objective dpo, ipo, .*not sft: leave it out"),
        ("dpo", {"kl": 0.3}, "kl=0.3 is for --objective sft, continued, not dpo"),
        ("kto", {"general": Path("data")}, "general=data is for --objective sft, distillation, not kto"),
        ("none", {}, "objective='none' is not one of 'sft', "),
        ("dpo", {"beta": 0.0}, "beta=0 is out of range: it must be greater than 0"),
        ("sft", {"kl": -1.0}, "kl=-1 is out of range: it must be at least 0"),
        ("sft", {"general_share": 1.0}, "general_share=1 is out of range: it must be at least 0 and less than 1"),
        ("grpo", {"group_size": 1}, "group_size=1 is out of range: it must be at least 2"),
        ("kto", {"undesirable_weight": 0.0}, "undesirable_weight=0"),
        ("distillation", {"teacher": "t", "teacher_share": 2.0}, "teacher_share=2 .* at least 0 and at most 1"),
        ("distillation", {"teacher": "t", "temperature": 0.0}, "temperature=0"),
        ("distillation", {}, "teacher='' names no model"),
        ("sft", {"l2_sp": -1.0}, "l2_sp=-1"),
    ],
)
def test_bad_settings_are_named(objective: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(objective, **settings).resolved()


def test_a_configuration_is_the_same_from_a_file(tmp_path: Path) -> None:
    original = config("grpo", group_size=4, beta=0.5, reward="reward.py:score", max_new_tokens=7)
    (tmp_path / "run.toml").write_text(original.to_toml())
    assert FinetuneConfig.from_toml(tmp_path / "run.toml") == original


def test_adapters_are_a_property_of_the_method() -> None:
    assert [MethodConfig(name=name).adapts for name in ("lora", "dora", "full", "last", "head")] == [True] * 2 + [False] * 3  # type: ignore[arg-type]
