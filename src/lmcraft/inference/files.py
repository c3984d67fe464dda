"""generation_config.json: how a model folder says what its texts are continued with, in Hugging Face's words."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.inference.config import GenerationConfig

NAME = "generation_config.json"
THEIRS = {"stop": "stop_strings"}  # our name: Hugging Face's, where they differ


def read_generation_config(folder: Path) -> tuple[GenerationConfig, tuple[int, ...]]:
    """The folder's defaults and its end tokens; without the file, ours and the end tokens of config.json.

    What the file does not say is as in `GenerationConfig`; what we do not know in it is passed over.

    Raises:
        UserError: the file is damaged, or a value in it is impossible.
    """
    file = folder / NAME
    if not file.is_file():
        file = folder / "config.json"
        if not file.is_file():
            return GenerationConfig(), ()
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        ends = said.get("eos_token_id")
        eos_token_ids = () if ends is None else tuple(map(int, ends if isinstance(ends, list) else [ends]))
        if file.name != NAME:
            return GenerationConfig(), eos_token_ids
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"'{file}' is damaged ({error}): mend it or remove it") from error
    names = {f.name: THEIRS.get(f.name, f.name) for f in fields(GenerationConfig)}
    settings = {ours: said[theirs] for ours, theirs in names.items() if said.get(theirs) is not None}
    try:
        return GenerationConfig().updated(settings), eos_token_ids
    except UserError as error:
        raise UserError(f"'{file}': {error}") from error


def generation_config_json(config: GenerationConfig, token_ids: Mapping[str, int | list[int] | None]) -> dict[str, Any]:
    """The contents of generation_config.json, which transformers and vLLM read too.

    What is as in `GenerationConfig` is left out (vLLM takes max_new_tokens for a limit on every request), and so is the
    seed. Hugging Face has no word for the presence and frequency penalties and the bias: lmcraft alone reads those.
    """
    plain = GenerationConfig()
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "seed"}
    values = {name: value for name, value in values.items() if value != getattr(plain, name)}
    for name in ("temperature", "max_new_tokens"):  # transformers refuses 0 for these; do_sample says the first
        if getattr(config, name) == 0:
            del values[name]
    values |= {"do_sample": not config.greedy, "top_k": config.top_k}  # transformers means others where these are missing
    return {THEIRS.get(name, name): value for name, value in values.items()} | dict(token_ids)
