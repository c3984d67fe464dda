"""The settings of the training loop."""

from dataclasses import fields
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from cyclopts import Parameter

from lmcraft.training.config import OptimizerConfig, TrainConfig


def automatic_fields(config: type) -> set[str]:
    """The fields whose help shows a rule in place of the default 0."""
    hints = get_type_hints(config, include_extras=True)
    marked = set()
    for name, hint in hints.items():
        parameters = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        if any(isinstance(p, Parameter) and callable(p.show_default) for p in parameters):
            marked.add(name)
    return marked


def test_automatic_settings_name_their_rule_in_the_help() -> None:
    rates = {"learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate"}
    assert automatic_fields(OptimizerConfig) == rates
    sizes = {"batch_size", "micro_batch_size", "max_steps", "time_budget", "energy_budget"}
    assert automatic_fields(TrainConfig) == sizes | {
        "canaries",
        "eval_every",
        "eval_tokens",
        "evaluate_every",
        "holdout",
        "pause_at",
        "save_every",
        "sample_every",
        "snapshots",
    }


@pytest.mark.parametrize("config", [OptimizerConfig, TrainConfig])
def test_automatic_settings_are_zero_by_default(config: type) -> None:
    defaults = {f.name: f.default for f in fields(config)}
    assert all(defaults[name] == 0 for name in automatic_fields(config))
