"""The one table of objectives. Help, validation, settings and docs derive from it."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module

from lmcraft.finetuning.objectives.base import FinetuneObjective

# name of --objective: module and class in this package
_CLASSES = {
    "sft": "sft:SupervisedFinetuning",
    "distillation": "distillation:Distillation",
    "dpo": "dpo:DPO",
    "ipo": "dpo:IPO",
    "orpo": "orpo:ORPO",
    "unlikelihood": "unlikelihood:Unlikelihood",
    "kto": "kto:KTO",
    "reward": "reward:RewardModel",
    "grpo": "grpo:GRPO",
    "quantile": "quantile:Quantile",
    "classification": "classification:Classification",
    "continued": "continued:ContinuedPretraining",
}


def _load(address: str) -> type[FinetuneObjective]:
    module, _, name = address.partition(":")
    cls: type[FinetuneObjective] = getattr(import_module(f"{__package__}.{module}"), name)
    return cls


OBJECTIVES: Mapping[str, type[FinetuneObjective]] = {name: _load(address) for name, address in _CLASSES.items()}


def objectives_for(example_type: type) -> list[str]:
    """The names of the objectives that learn from examples of this type."""
    return [name for name, cls in OBJECTIVES.items() if cls.example_type is example_type]


def objectives_with(setting_name: str) -> list[str]:
    """The names of the objectives that have a setting."""
    return [name for name, cls in OBJECTIVES.items() if setting_name in {f.name for f in fields(cls)}]


def describe_objectives() -> str:
    """Each name with its summary, for the help."""
    return "; ".join(f"{name}: {cls.summary}" for name, cls in OBJECTIVES.items())


def objectives_table() -> str:
    """The table of docs/fine-tuning.md."""
    lines = ["| name | the model learns to | settings | paper |", "|---|---|---|---|"]
    for name, cls in OBJECTIVES.items():
        flags = ", ".join(f"`--{f.name.replace('_', '-')}`" for f in fields(cls))
        papers = ", ".join(f"[{paper}](https://arxiv.org/abs/{paper})" for paper in cls.paper.split())
        lines.append(f"| {name} | {cls.summary} | {flags} | {papers} |")
    return "\n".join(lines) + "\n"
