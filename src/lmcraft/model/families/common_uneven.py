"""Entries of families whose layers differ in size, share keys and values or have embeddings of their own (Gemma 4)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Weight
from lmcraft.model.parts import RopeScaling

HEAD_DIM, FULL = 512, "full_attention"  # of full-attention layers, if the key is missing
ROPE: dict[str, dict[str, Any]] = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0},
}


@dataclass(frozen=True)
class ProportionalRotary:
    """`rope_parameters`: the bases of sliding and full layers, and the share of the wavelengths that the latter rotate."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        rope = {**ROPE, **(hf_config.get("rope_parameters") or {})}
        local, full = rope["sliding_attention"], rope[FULL]
        kinds = local.get("rope_type", "default"), full.get("rope_type", "default")
        if kinds[0] != "default" or kinds[1] not in ("default", "proportional"):
            raise UserError(
                f"config.json: rope_type {kinds[0]!r} of sliding and {kinds[1]!r} of full layers is not supported"
            )
        scaling = RopeScaling()
        if kinds[1] == "proportional":
            share = full.get("partial_rotary_factor", 1.0)
            scaling = RopeScaling(rope_type="proportional", factor=full.get("factor", 1.0), proportion=share)
        return {"rope_theta": full["rope_theta"], "rope_local_theta": local["rope_theta"], "rope_scaling": scaling}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        scaling = config.rope_scaling
        full: dict[str, Any] = {"rope_type": scaling.rope_type, "rope_theta": config.rope_theta}
        if scaling.rope_type == "proportional":
            full |= {"partial_rotary_factor": scaling.proportion, "factor": scaling.factor}
        local = {"rope_type": "default", "rope_theta": config.rope_local_theta}
        hf_config["rope_parameters"] = {"sliding_attention": local, FULL: full}


@dataclass(frozen=True)
class FullLayerSizes:
    """Head width and key-value heads of full-attention layers: `per_layer_config`, or two keys in the released models."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers = range(read_so_far["num_hidden_layers"])
        full = [n for n in layers if (read_so_far["layer_types"] or [FULL] * len(layers))[n] == FULL]
        sizes = {"head_dim": hf_config.get("global_head_dim", HEAD_DIM)}
        if hf_config.get("attention_k_eq_v") and (heads := hf_config.get("num_global_key_value_heads")):
            sizes["num_key_value_heads"] = heads
        if (of_layers := hf_config.get("per_layer_config")) is not None:
            sizes = of_layers.get(str(full[0]), {})
            if set(sizes) - {"head_dim", "num_key_value_heads"} or any(
                of_layers.get(str(n), {}) != (sizes if n in full else {}) for n in layers
            ):
                raise UserError("config.json: per_layer_config is supported only with the same sizes in all full layers")
        return {f"full_layers.{key}": value for key, value in sizes.items()}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        full = config.full_layers
        sizes = {"head_dim": full.head_dim, "num_key_value_heads": full.num_key_value_heads}
        sizes = {key: value for key, value in sizes.items() if value}
        layers = [n for n in range(config.num_hidden_layers) if config.layer_type(n) == FULL]
        hf_config["per_layer_config"] = {str(n): sizes for n in layers if sizes}
        hf_config["global_head_dim"] = full.head_dim or config.head_dim
        hf_config["num_global_key_value_heads"] = full.num_key_value_heads or None


@dataclass(frozen=True)
class LayerEmbeddings:
    """The width of the embeddings per layer, 0 without them, and their vocabulary."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        width = hf_config.get("hidden_size_per_layer_input", 256) or 0
        vocab_size = hf_config.get("vocab_size_per_layer_input", 262144) if width else 0
        return {"per_layer_embedding.width": width, "per_layer_embedding.vocab_size": vocab_size}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        settings = config.per_layer_embedding
        hf_config["hidden_size_per_layer_input"] = settings.width
        hf_config["vocab_size_per_layer_input"] = settings.vocab_size or config.vocab_size


@dataclass(frozen=True)
class ExpertsBesideDense:
    """`enable_moe_block` and the settings of the experts, which are null without it."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        if not hf_config.get("enable_moe_block"):
            return {}
        return {"experts_beside_dense": True} | {ours: hf_config[theirs] for theirs, ours in EXPERT_KEYS.items()}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["enable_moe_block"] = config.experts_beside_dense
        for theirs, ours in EXPERT_KEYS.items():
            hf_config[theirs] = getattr(config, ours) if config.experts_beside_dense else None


EXPERT_KEYS = {
    "num_experts": "num_experts",
    "top_k_experts": "num_experts_per_tok",
    "moe_intermediate_size": "moe_intermediate_size",
}


def _owns_keys(config: TransformerConfig, layer: int) -> bool:
    return not config.shares_keys(layer)


def _owns_values(config: TransformerConfig, layer: int) -> bool:
    return _owns_keys(config, layer) and not config.uses_keys_as_values(layer)


def has_layer_embedding(config: TransformerConfig, layer: int) -> bool:
    return config.per_layer_embedding.width > 0


def own_keys(weights: tuple[Weight, ...]) -> tuple[Weight, ...]:
    """The weights of attention, with keys and values only in layers that have some of their own."""

    def when(weight: Weight) -> Callable[[TransformerConfig, int], bool]:
        name = weight.ours[0].partition("attention.")[2]
        owns = _owns_keys if name.startswith("k_") else _owns_values if name.startswith("v_") else None
        return lambda config, layer: weight.when(config, layer) and (owns is None or owns(config, layer))

    return tuple(replace(weight, when=when(weight)) for weight in weights)


def unneeded_keys(config: TransformerConfig) -> list[str]:
    """Keys and values of layers that share those of another one."""
    shared = [n for n in range(config.num_hidden_layers) if config.shares_keys(n)]
    return [f"model.layers.{n}.self_attn.{part}.weight" for n in shared for part in ("k_proj", "v_proj", "k_norm")]


def _expert_weight(hf: str, *ours: str) -> Weight:
    names = tuple(f"layers.{{i}}.feed_forward.{name}" for name in ours)
    return Weight(f"model.layers.{{i}}.{hf}", names, when=experts.has_experts)


def _dense_weights(part: str) -> tuple[Weight, Weight]:
    hf = f"mlp.{part}_proj.weight"
    return (
        layer_weight(hf, f"feed_forward.{part}_proj.weight", when=common.is_dense),
        _expert_weight(hf, f"dense.{part}_proj.weight"),
    )


LAYER_EMBEDDINGS = (
    layer_weight("per_layer_input_gate.weight", "embedding_gate.gate_proj.weight", when=has_layer_embedding),
    layer_weight("per_layer_projection.weight", "embedding_gate.o_proj.weight", when=has_layer_embedding),
    layer_weight("post_per_layer_input_norm.weight", "embedding_gate.norm.weight", when=has_layer_embedding),
    Weight("model.embed_tokens_per_layer.weight", ("layer_embedding.embed_tokens.weight",), when=has_layer_embedding),
    Weight("model.per_layer_model_projection.weight", ("layer_embedding.projection.weight",), when=has_layer_embedding),
    Weight("model.per_layer_projection_norm.weight", ("layer_embedding.norm.weight",), when=has_layer_embedding),
)
FEED_FORWARD = (
    *(weight for part in experts.PARTS for weight in _dense_weights(part)),
    layer_weight("pre_feedforward_layernorm.weight", "feed_forward_norm.weight", when=common.is_dense),
    layer_weight("post_feedforward_layernorm.weight", "feed_forward_post_norm.weight"),
    _expert_weight("pre_feedforward_layernorm.weight", "dense_norm.weight"),
    _expert_weight("post_feedforward_layernorm_1.weight", "dense_post_norm.weight"),
    _expert_weight("pre_feedforward_layernorm_2.weight", "experts_norm.weight"),
    _expert_weight("post_feedforward_layernorm_2.weight", "experts_post_norm.weight"),
    _expert_weight("router.proj.weight", "mixture.router.weight"),
    _expert_weight("router.scale", "router_scale"),
    _expert_weight("router.per_expert_scale", "expert_scales"),
    _expert_weight("experts.gate_up_proj", "mixture.experts.{e}.gate_proj.weight", "mixture.experts.{e}.up_proj.weight"),
    _expert_weight("experts.down_proj", "mixture.experts.{e}.down_proj.weight"),
)
