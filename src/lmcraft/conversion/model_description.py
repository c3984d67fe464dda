"""Describes a model: architecture, parameters, memory, chat template, license and lineage, without loading its weights."""

import re
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from lmcraft.data.documents import count_noun
from lmcraft.inference.native.coverage import missing_part
from lmcraft.lineage.description import describe_lineage, summarize_lineage
from lmcraft.model.config import TransformerConfig
from lmcraft.model.quantized_checkpoints.formats import quantization_method, quantization_settings
from lmcraft.model_source import ModelSource, open_model

BITS_PER_WEIGHT = {"float32": 32.0, "bfloat16": 16.0, "q8_0": 8.5, "q4_0": 4.5}
PARTS = {  # by a word in a weight's name
    "embed_tokens": "embeddings",
    "embed_positions": "positions",
    "embed_types": "token types",
    "lm_head": "output projection",
    "attention": "attention",
    "mixer": "recurrent mixers",
    "router": "experts",
    "experts": "experts",
    "shared": "experts",
    "feed_forward": "feed-forward",
    "norm": "norms",
}


def describe_model(address: str | Path, *, offline: bool = False) -> dict[str, Any]:
    """The description of a model, without loading its weights.

    Args:
        address: of the model.
        offline: never use the network.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    with open_model(address, offline=offline) as source:
        model = source.build_empty()
        config = model.config
        parameters = Counter[str]()
        for name, parameter in model.named_parameters():
            parameters[_part(name)] += parameter.numel()
        total = parameters.total()
        return {
            "model": str(address),
            "architecture": _architecture(config) | _quantization(source),
            "parameters": dict(parameters) | {"total": total, "active": _active(config, total)},
            "bytes": {kind: round(total * bits / 8) for kind, bits in BITS_PER_WEIGHT.items()},
            "cache_bytes": _cache_bytes(config),
            "decode_step": f"PyTorch: {lacks}" if (lacks := missing_part(config)) else "native",
            "tokenizer": {
                "tokens": source.tokenizer.vocab_size,
                "eos_token_ids": list(source.eos_token_ids),
                "chat_template": source.tokenizer.chat_template,
            },
            "unsupported_settings": dict(source.generation_config.unsupported),
            "license": source.license,
            "lineage": summarize_lineage(source.lineage),
            "history": _describe_history(source),
        }


def _describe_history(source: ModelSource) -> dict[str, str]:
    """The lineage in words; that of an adapter without one is its base model."""
    if source.base is not None and not source.lineage:
        return {"base": source.base.location}
    return describe_lineage(source.lineage)


def _quantization(source: ModelSource) -> dict[str, str]:
    """What quantized the stored weights; empty if nothing did."""
    settings = quantization_settings(source.checkpoint.hf_config) or {}
    if not settings:
        return {}
    layout = f" ({str(settings['format'])[:40]})" if settings.get("format") else ""
    return {"quantization": quantization_method(settings) + layout}


def _part(name: str) -> str:
    words = re.split(r"[._]", name)
    if words[-2] == "norm":
        return "norms"
    return next((part for word, part in PARTS.items() if word in name), "others")


def _cache_bytes(config: TransformerConfig) -> dict[str, int]:
    """What a text takes while it is generated: keys and values in bfloat16, recurrent states in float32."""
    layers = range(config.num_hidden_layers)
    shapes = [config.cache_shape(layer) or (0, 0, 0) for layer in layers if not config.bidirectional]
    per_token = 2 * sum(heads * (key + value) for heads, key, value in shapes)
    state = 4 * sum(prod(shape) for layer in layers for shape in config.state_shapes(layer))
    keys_and_values = {"per token": per_token, "full context": per_token * config.max_position_embeddings}
    return (keys_and_values if per_token else {}) | ({"recurrent state": state} if state else {})


def _active(config: TransformerConfig, total: int) -> int:
    """The parameters that a token uses: all but the experts that it is not routed to."""
    idle = config.num_experts - config.num_experts_per_tok
    expert = (3 if config.is_gated else 2) * config.hidden_size * config.moe_intermediate_size
    return total - sum(map(config.has_experts, range(config.num_hidden_layers))) * idle * expert


def _architecture(config: TransformerConfig) -> dict[str, str]:
    layer_types = Counter(config.layer_types)
    heads = f"{count_noun(config.num_attention_heads, 'head', 'heads')} of {config.head_dim}"
    if config.num_key_value_heads != config.num_attention_heads:
        heads += f", {config.num_key_value_heads} of keys and values"
    layers, latent = range(config.num_hidden_layers), config.latent_attention
    feeds = any(map(config.has_feed_forward, layers))
    sliding = sum(map(config.is_sliding, layers))
    windows = f"{sliding} of {config.num_hidden_layers} layers attend to {config.sliding_window:,} tokens" if sliding else ""
    experts = f"{config.num_experts_per_tok} of {config.num_experts} experts of {config.moe_intermediate_size:,}"
    if shared := config.shared_expert.intermediate_size:
        experts += f" and a shared one of {shared:,}"
    dense = f"{config.feed_forward}, {config.intermediate_size:,} wide"
    rotary = f"rotary, base {config.rope_theta:g}"
    if config.rope_scaling.rope_type != "default":
        rotary += f", scaled {config.rope_scaling.factor:g} times ({config.rope_scaling.rope_type})"
    sides = {"before": "before", "after": "after", "both": "before and after"}.get(config.norm_placement)
    placement = f"{sides} each sub-layer" if sides else "of each sum with the residual stream"
    rows = {
        "family": config.family or "lmcraft",
        "layers": f"{config.num_hidden_layers}, {config.hidden_size:,} wide" + ", parallel" * config.parallel_residual,
        "types of layers": ", ".join(f"{count} {kind}" for kind, count in layer_types.items())
        if config.is_recurrent
        else "",
        "attention": heads + ", QK norm" * config.qk_norm if any(map(config.has_attention, layers)) else "",
        "latent attention": f"{latent.kv_lora_rank:,} wide" if latent.kv_lora_rank else "",
        "windows": windows,
        "feed-forward": (f"{config.feed_forward}, {experts}" if config.num_experts else dense) if feeds else "",
        "norms": f"{config.norm}, {placement}",
        "positions": rotary if config.position == "rotary" else config.position,
        "context": f"{config.max_position_embeddings:,} tokens",
        "vocabulary": f"{config.vocab_size:,} tokens" + ", tied" * (config.tie_word_embeddings and not config.bidirectional),
    }
    return {name: value for name, value in rows.items() if value}
