"""Entries that families with experts share: which layers have them, their weights, and those of their routers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Field, Weight

PARTS = ("gate", "up", "down")


def has_experts(config: TransformerConfig, layer: int) -> bool:
    return config.has_experts(layer)


def has_shared_expert(config: TransformerConfig, layer: int) -> bool:
    return config.has_experts(layer) and config.shared_expert.intermediate_size > 0


@dataclass(frozen=True)
class FirstDenseLayers:
    """The number of leading layers that stay dense."""

    key: str = "first_k_dense_replace"
    default: int = 0

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        count = hf_config.get(self.key, self.default) or 0
        return {"mlp_only_layers": tuple(range(min(count, read_so_far["num_hidden_layers"])))}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config[self.key] = len(config.mlp_only_layers)


@dataclass(frozen=True)
class LayerTypes:
    """`mlp_layer_types`: dense or sparse for each layer."""

    default: tuple[str, ...] = ()
    """Types of the first layers if the key is missing; the others are sparse."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers = read_so_far["num_hidden_layers"]
        types = common.per_layer(hf_config, "mlp_layer_types", layers, ("dense", "sparse")) or self.default
        return {"mlp_only_layers": tuple(layer for layer, kind in enumerate(types) if kind == "dense")}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        sparse = [config.has_experts(layer) for layer in range(config.num_hidden_layers)]
        hf_config["mlp_layer_types"] = ["sparse" if is_sparse else "dense" for is_sparse in sparse]


class SparseLayers:
    """`moe_layers`, the layers with experts; by default every nth."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers, step = range(read_so_far["num_hidden_layers"]), hf_config.get("interleave_moe_layer_step", 1)
        sparse = hf_config.get("moe_layers")
        sparse = range(step - 1, len(layers), step) if sparse is None else sparse
        return {"mlp_only_layers": tuple(layer for layer in layers if layer not in sparse)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["moe_layers"] = [layer for layer in range(config.num_hidden_layers) if config.has_experts(layer)]


@dataclass(frozen=True)
class SharedExperts:
    """The number of shared experts, each as wide as the others."""

    key: str = "n_shared_experts"
    default: int = 0

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        count = hf_config.get(self.key, self.default) or 0
        return {"shared_expert.intermediate_size": count * read_so_far["moe_intermediate_size"]}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config[self.key] = config.shared_expert.intermediate_size // max(config.moe_intermediate_size, 1)


# DeepSeek V3's routing, and its keys.
GROUPS = (
    Field("routed_scaling_factor", "router.scaling_factor", 1.0),
    Field("n_group", "router.n_group", 1),
    Field("topk_group", "router.topk_group", 1),
)
SIGMOID = {"router.scores": "sigmoid", "router.correction_bias": True, "router.in_float32": True}


def experts(block: str = "mlp", names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")) -> tuple[Weight, ...]:
    """The weights of the experts, one tensor each."""
    return tuple(
        layer_weight(f"{block}.experts.{{e}}.{name}.weight", f"feed_forward.experts.{{e}}.{p}_proj.weight", when=has_experts)
        for name, p in zip(names, PARTS, strict=True)
    )


def fused(name: str, parts: tuple[str, ...], kind: str = "weight", **options: Any) -> Weight:
    """A tensor of all experts of a layer; `parts` are the projections in it."""
    ours = tuple(f"layers.{{i}}.feed_forward.experts.{{e}}.{part}_proj.{kind}" for part in parts)
    return Weight(f"model.layers.{{i}}.{name}", ours, when=has_experts, **options)


def shared_expert(block: str = "mlp.shared_experts") -> tuple[Weight, ...]:
    """The weights of the shared expert."""
    return tuple(
        layer_weight(f"{block}.{p}_proj.weight", f"feed_forward.shared_expert.{p}_proj.weight", when=has_shared_expert)
        for p in PARTS
    )


def router(name: str = "mlp.gate") -> Weight:
    """The weight of the router."""
    return layer_weight(f"{name}.weight", "feed_forward.router.weight", when=has_experts)


def correction_bias(name: str = "mlp.gate.e_score_correction_bias", **options: Any) -> Weight:
    """The bias that counts for the choice of experts."""
    return layer_weight(name, "feed_forward.correction_bias", when=has_experts, **options)
