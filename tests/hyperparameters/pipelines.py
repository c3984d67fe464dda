"""Pipelines of commands that take no time, from the text of a space file."""

import tomllib
from pathlib import Path
from typing import Any

from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.plan import Plan
from lmcraft.hyperparameters.trial import Point
from tests.hyperparameters.stage_commands import COMMANDS

SPACE = """
[pretrain]
data = "DATA"
rate = { low = 1e-3, high = 1e-1, log = true, default = 0.03 }
width = { choices = [8, 16] }
"""
PIPELINE = """
[prepare]
vocab_size = { choices = [50, 60] }
[pretrain]
data = "{prepare}"
rate = { low = 1e-3, high = 1e-1 }
"""
POINT: Point = {"pretrain.rate": 0.05, "pretrain.width": 16}


def plan_of(folder: Path, text: str = SPACE, **settings: Any) -> Plan:
    """The plan of a search under a folder; DATA in the text is a folder that exists."""
    settings = {"sampler": "random", **settings}
    return Plan.build(
        SearchConfig(out=folder / "out", **settings), tomllib.loads(text.replace("DATA", str(folder))), COMMANDS
    )
