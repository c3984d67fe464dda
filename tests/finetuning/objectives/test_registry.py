"""The registry: every objective is complete, and conforms."""

from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from lmcraft.finetuning.objectives.registry import OBJECTIVES, describe_objectives, objectives_table, objectives_with
from tests.finetuning.objectives.conformance import ObjectiveConformance


def test_every_objective_inherits_the_conformance_suite() -> None:
    for file in Path(__file__).parent.glob("test_*.py"):
        import_module(f"{__package__}.{file.stem}")

    def descendants(cls: type[ObjectiveConformance]) -> list[type[ObjectiveConformance]]:
        return [cls, *(c for child in cls.__subclasses__() for c in descendants(child))]

    assert {cls.name for cls in descendants(ObjectiveConformance)[1:]} == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_describes_itself(name: str) -> None:
    cls = OBJECTIVES[name]
    assert cls.summary and not cls.summary.endswith(".") and cls.__doc__
    assert all(f.metadata["help"].endswith(".") for f in fields(cls))
    assert f"{name}: {cls.summary}" in describe_objectives() and f"| {name} | {cls.summary} |" in objectives_table()


def test_settings_name_their_objectives() -> None:
    assert objectives_with("length_normalized") == ["dpo"] and set(objectives_with("kl")) == {"sft", "continued"}
    assert objectives_with("sequence_length") == []


def test_the_docs_have_the_table_of_objectives() -> None:
    page = Path(__file__).parents[3] / "docs" / "fine-tuning.md"
    assert objectives_table() in page.read_text(encoding="utf-8"), "run scripts/docs-tables"
