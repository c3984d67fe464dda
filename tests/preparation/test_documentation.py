"""docs/prepare.md has every setting of a recipe, with its default."""

import importlib
import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from lmcraft.data.mixture import MixtureConfig, MixtureStage
from lmcraft.preparation.recipe import ExecutorConfig, Recipe, SourceConfig
from lmcraft.preparation.stages.catalog import KINDS, PACKAGE

PAGE = (Path(__file__).parents[2] / "docs" / "prepare.md").read_text(encoding="utf-8")
GROUPS = ("source", "stage", "mixture", "executor")  # of a recipe, which have tables of their own
SECTIONS = {"### `[[source]]`": SourceConfig, "### `[mixture]`": MixtureConfig, "### `[executor]`": ExecutorConfig}


def load_kind(kind: str) -> Any:
    module, _, name = KINDS[kind].partition(":")
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


def rows_of(cls: Any) -> list[str]:
    return [f"| `{f.name}` |{default_of(f)}|" for f in fields(cls) if not (cls is Recipe and f.name in GROUPS)]


def default_of(setting: Field[Any]) -> str:
    """As TOML has it."""
    if setting.default is MISSING and setting.default_factory is MISSING:
        return " required "
    value = setting.default if setting.default_factory is MISSING else setting.default_factory()
    match value:
        case None:
            return " "
        case bool():
            return f" `{str(value).lower()}` "
        case str():
            return f' `"{value}"` '
        case tuple():
            return " `[" + ", ".join(f'"{entry}"' for entry in value) + "]` "
        case _:
            return f" `{value}` "


@pytest.mark.parametrize("kind", KINDS)
def test_stages(kind: str) -> None:
    section = PAGE.split(f"**{kind}** ")[1].split("\n**")[0].split("\n###")[0]
    assert re.findall(r"^\| `\w+` \|.*?\|", section, re.MULTILINE) == rows_of(load_kind(kind))


@pytest.mark.parametrize("title", SECTIONS)
def test_groups(title: str) -> None:
    section = PAGE.split(f"{title}\n")[1].split("\n###")[0].split("\n## ")[0]
    assert re.findall(r"^\| `\w+` \|.*?\|", section, re.MULTILINE) == rows_of(SECTIONS[title])


def test_the_recipe_and_the_schedule() -> None:
    section = PAGE.split("## The recipe\n")[1].split("\n###")[0]
    assert re.findall(r"^\| `\w+` \|.*?\|", section, re.MULTILINE) == rows_of(Recipe)
    sentence = PAGE.split("A stage of the schedule has ")[1].split("\n\n")[0]
    assert all(f"`{f.name}`" in sentence for f in fields(MixtureStage))
