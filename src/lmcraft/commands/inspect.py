"""`lmcraft inspect`: what a model is made of, how much memory it takes, and where it comes from."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcraft.config import Config, command_config

if TYPE_CHECKING:
    from rich.console import Group

    from lmcraft.model.config import TransformerConfig

BITS = {"float32": 32.0, "bfloat16": 16.0, "q8_0": 8.5, "q4_0": 4.5}
PARTS = {  # of a weight's name: the part that it belongs to
    "embed_tokens": "embeddings",
    "embed_positions": "positions",
    "lm_head": "output projection",
    "attention": "attention",
    "router": "experts",
    "experts": "experts",
    "feed_forward": "feed-forward",
    "norm": "norms",
}


@command_config
@dataclass(frozen=True)
class InspectConfig(Config):
    """Show a model's architecture, parameters, memory, chat template, lineage and license, without loading its weights."""

    model: str
    """Model folder, GGUF file or address."""
    json: bool = False
    """Print JSON rather than tables."""


def inspect(config: InspectConfig) -> dict[str, Any]:
    """Print what a model is; returns the same as a dict.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    from rich.console import Console

    found = describe(config.model)
    if config.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(_tables(found))
    return found


def describe(address: str | Path) -> dict[str, Any]:
    """What `inspect` shows.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    import torch

    from lmcraft.model.transformer import Transformer
    from lmcraft.model_source import open_model

    with open_model(address) as source:
        config = source.checkpoint.config()
        with torch.device("meta"):
            model = Transformer(config)
        parameters = Counter[str]()
        for name, parameter in model.named_parameters():
            parameters[_part(name)] += parameter.numel()
        total = parameters.total()
        per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        return {
            "model": str(address),
            "architecture": _architecture(config),
            "parameters": dict(parameters) | {"total": total, "active": _active(config, total)},
            "bytes": {kind: round(total * bits / 8) for kind, bits in BITS.items()},
            "cache_bytes": {
                "per token": 2 * per_token,
                "full context": 2 * per_token * config.max_position_embeddings,
            },
            "tokenizer": {
                "tokens": source.tokenizer.vocab_size,
                "eos_token_ids": list(source.eos_token_ids),
                "chat_template": source.tokenizer.chat_template,
            },
            "license": source.license,
            "lineage": source.lineage,
        }


def _part(name: str) -> str:
    words = re.split(r"[._]", name)
    if words[-2] == "norm":
        return "norms"
    return next(part for word, part in PARTS.items() if word in name)


def _active(config: "TransformerConfig", total: int) -> int:
    """The parameters that one token meets: all but the experts that are not chosen."""
    idle = config.num_experts - config.num_experts_per_tok
    expert = (3 if config.is_gated else 2) * config.hidden_size * config.moe_intermediate_size
    return total - sum(map(config.has_experts, range(config.num_hidden_layers))) * idle * expert


def _architecture(config: "TransformerConfig") -> dict[str, str]:
    heads = f"{config.num_attention_heads} heads of {config.head_dim}"
    if config.num_key_value_heads != config.num_attention_heads:
        heads += f", {config.num_key_value_heads} of keys and values"
    sliding = sum(map(config.is_sliding, range(config.num_hidden_layers)))
    windows = f"{sliding} of {config.num_hidden_layers} layers see {config.sliding_window:,} tokens" if sliding else ""
    experts = f"{config.num_experts_per_tok} of {config.num_experts} experts of {config.moe_intermediate_size:,}"
    dense = f"{config.feed_forward}, {config.intermediate_size:,} wide"
    rotary = f"rotary, base {config.rope_theta:g}"
    if config.rope_scaling.rope_type != "default":
        rotary += f", scaled {config.rope_scaling.factor:g} times ({config.rope_scaling.rope_type})"
    norm = {"before": "before", "after": "after", "both": "before and after"}[config.norm_placement]
    rows = {
        "family": config.family or "lmcraft",
        "layers": f"{config.num_hidden_layers}, {config.hidden_size:,} wide" + ", parallel" * config.parallel_residual,
        "attention": heads + ", QK norm" * config.qk_norm,
        "windows": windows,
        "feed-forward": f"{config.feed_forward}, {experts}" if config.num_experts else dense,
        "norms": f"{config.norm}, {norm} each sub-layer",
        "positions": rotary if config.position == "rotary" else "learned",
        "context": f"{config.max_position_embeddings:,} tokens",
        "vocabulary": f"{config.vocab_size:,} tokens" + ", tied" * config.tie_word_embeddings,
    }
    return {name: value for name, value in rows.items() if value}


def _tables(found: dict[str, Any]) -> "Group":
    from rich.console import Group

    parameters = {part: f"{count:,}" for part, count in found["parameters"].items()}
    if found["parameters"]["active"] == found["parameters"]["total"]:
        del parameters["active"]
    memory = {f"weights in {kind}": _size(size) for kind, size in found["bytes"].items()}
    memory |= {f"keys and values, {what}, bfloat16": _size(size) for what, size in found["cache_bytes"].items()}
    template = found["tokenizer"]["chat_template"]
    origin = {
        "license": found["license"] or "not said",
        "chat template": f"{len(template):,} characters: {template[:60]!r} ..." if template else "none",
        "end tokens": ", ".join(map(str, found["tokenizer"]["eos_token_ids"])) or "none",
        **{name: str(value) for name, value in found["lineage"].items() if value},
    }
    return Group(
        _table(found["model"], found["architecture"]),
        _table("Parameters", parameters),
        _table("Memory", memory),
        _table("Origin", origin),
    )


def _table(title: str, rows: dict[str, str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False, min_width=60)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.2f} GiB"
