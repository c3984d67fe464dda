"""Granite 3 MoE, with and without a shared expert; a successor with windows and sinks; Granite 4 with Mamba-2."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.granite import MULTIPLIERS, LayerThetas
from lmcraft.model.families.recurrent import MAMBA_FIELDS, LayerTypes, MambaHeads, mamba_weights

FIELDS = (
    *common.sizes(32000, 2048, 4096, 11008, 32, 32),
    *entries.llama_like(),
    *entries.BIASES[:1],
    Field("num_local_experts", "num_experts", 8, other="num_experts"),
    Field("num_experts_per_tok", "num_experts_per_tok", 2),
    *MULTIPLIERS,
    Field("attention_multiplier", "multipliers.attention", 1.0),
)
SHARED = Field("shared_intermediate_size", "shared_expert.intermediate_size", 0)


def _implied(config: TransformerConfig) -> dict[str, Any]:
    return {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": False,
        "moe_intermediate_size": config.intermediate_size,
        "router.scores": "topk_softmax",
    }


def _weights(gate_up: str, down: str, router: str) -> tuple[Weight, ...]:
    """The weights, given the names of the experts' tensors and of the router."""
    shared = tuple(f"layers.{{i}}.feed_forward.shared_expert.{part}_proj.weight" for part in experts.PARTS)
    return (
        *common.EMBEDDINGS,
        *common.ATTENTION,
        *common.NORMS,
        experts.router(f"block_sparse_moe.{router}"),
        experts.fused(f"block_sparse_moe.{gate_up}", ("gate", "up")),
        experts.fused(f"block_sparse_moe.{down}", ("down",)),
        Weight("model.layers.{i}.shared_mlp.input_linear.weight", shared[:2], when=experts.has_shared_expert),
        Weight("model.layers.{i}.shared_mlp.output_linear.weight", shared[2:], when=experts.has_shared_expert),
    )


GRANITEMOE = Family(
    model_type="granitemoe",
    architecture="GraniteMoeForCausalLM",
    fields=FIELDS,
    implied=_implied,
    optional_prefix="model.",
    weights=_weights("input_linear.weight", "output_linear.weight", "router.layer"),
)

GRANITEMOESHARED = Family(
    model_type="granitemoeshared",
    architecture="GraniteMoeSharedForCausalLM",
    fields=(*FIELDS, SHARED),
    implied=_implied,
    optional_prefix="model.",
    weights=_weights("input_linear.weight", "output_linear.weight", "router.layer"),
)


GRANITEMOE_SWA = Family(
    model_type="granitemoe_swa",
    architecture="GraniteMoeSWAForCausalLM",
    fields=(
        *FIELDS,
        SHARED,
        LayerThetas(),
        common.LayeredWindow(128, entries.full_first(4)),
    ),
    implied=lambda config: _implied(config) | {"attention_sinks": True},
    optional_prefix="model.",
    weights=(
        *_weights("experts.gate_up_proj", "experts.down_proj", "router"),
        layer_weight("self_attn.sinks", "attention.sinks"),
    ),
)


class SharedWidth:
    """The width of the shared expert, which is the whole feed-forward layer of a model without others."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        setting = "shared_expert.intermediate_size" if read_so_far["num_experts"] else "intermediate_size"
        return {setting: hf_config.get("shared_intermediate_size", 1024)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        shared = config.shared_expert.intermediate_size if config.num_experts else config.intermediate_size
        hf_config["shared_intermediate_size"] = shared


LAYER_NAMES = {"linear_attention": "mamba", "full_attention": "full_attention", "attention": "full_attention"}
DENSE = tuple(f"layers.{{i}}.feed_forward.{part}_proj.weight" for part in experts.PARTS)

GRANITEMOEHYBRID = Family(
    model_type="granitemoehybrid",
    architecture="GraniteMoeHybridForCausalLM",
    fields=(
        *FIELDS,
        SharedWidth(),
        *MAMBA_FIELDS,
        MambaHeads(),
        LayerTypes(lambda hf_config, layers: ["mamba"] * layers, LAYER_NAMES),
        Field("position_embedding_type", "position", None, {None: "none", "rope": "rotary", "nope": "none"}),
    ),
    implied=lambda config: {
        **_implied(config),
        "position": config.position,
        "mamba.use_output_bias": config.mamba.use_bias,
    },
    optional_prefix="model.",
    weights=(
        *_weights("input_linear.weight", "output_linear.weight", "router.layer"),
        *mamba_weights("model.layers.{i}.mamba"),
        Weight("model.layers.{i}.shared_mlp.input_linear.weight", DENSE[:2], when=common.is_dense),
        Weight("model.layers.{i}.shared_mlp.output_linear.weight", DENSE[2:], when=common.is_dense),
    ),
)
