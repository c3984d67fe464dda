"""The kinds of stages that a recipe can name."""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import GlobalStage, Stage
from lmcraft.setting_values import convert_value, field_types

PACKAGE = "lmcraft.preparation.stages"
KINDS = {
    "normalize": "normalize:Normalize",
    "language": "language:Language",
    "quality": "quality.stage:Quality",
    "exact-duplicates": "duplicates.exact:ExactDuplicates",
    "near-duplicates": "duplicates.near:NearDuplicates",
    "repeated-passages": "duplicates.passages:RepeatedPassages",
    "decontaminate": "decontaminate:Decontaminate",
    "model": "model_filter:ModelFilter",
    "scrub": "scrub:Scrub",
    "attributes": "attributes:Attributes",
    "moderate": "moderate:Moderate",
    "balance": "balance:Balance",
    "hook": "hook:Hook",
    "mark": "mark:Mark",
}
# Both judge whole documents in the same order, so the second may look at what the first removes.
SHARE_A_PASS = ("exact-duplicates", "near-duplicates")


def build_stage(kind: str, name: str, settings: Mapping[str, Any]) -> Stage | GlobalStage:
    """A stage with settings as TOML has them.

    Raises:
        UserError: the kind or a setting is unknown (the nearest is named), or a value does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"stage {name!r}: there is no kind {kind!r}: {suggest(kind, KINDS)}")
    module, _, class_name = KINDS[kind].partition(":")
    cls = getattr(importlib.import_module(f"{PACKAGE}.{module}"), class_name)
    types = field_types(cls)
    values = {}
    for setting, value in settings.items():
        if setting not in types:
            raise UserError(f"stage {name!r}: there is no setting {setting!r}: {suggest(setting, types)}")
        values[setting] = convert_value(types[setting], value, f"stage {name!r}: {setting}")
    try:
        stage: Stage | GlobalStage = cls(**values)
    except UserError as error:
        raise UserError(f"stage {name!r}: {error}") from error
    object.__setattr__(stage, "name", name)  # the class has its kind
    return stage


def suggest(name: str, names: Mapping[str, Any]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all."""
    nearest = get_close_matches(name, names, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"use one of {', '.join(names)}" if names else "it has none"
