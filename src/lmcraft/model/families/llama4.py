"""Llama 4's language model: chunked attention, layers without rotary positions, experts in some layers."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, entries, experts
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Family, Field
from lmcraft.model.families.smollm3 import NoRopeLayers


class Chunks:
    """`attention_chunk_size` of the layers of that type; by default those with rotary positions."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        chunk, layers = hf_config.get("attention_chunk_size", 8192) or 0, read_so_far["num_hidden_layers"]
        without = range(layers) if not chunk else read_so_far["no_rope_layers"]
        kinds = {True: "full_attention", False: "chunked_attention"}
        types = common.per_layer(hf_config, "layer_types", layers, tuple(kinds.values()))
        types = types or [kinds[layer in without] for layer in range(layers)]
        return {"attention_chunk_size": chunk, "layer_types": tuple(types)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["attention_chunk_size"] = config.attention_chunk_size or None
        hf_config["layer_types"] = [config.layer_type(layer) for layer in range(config.num_hidden_layers)]


LLAMA4_TEXT = Family(
    model_type="llama4_text",
    architecture="Llama4ForCausalLM",
    fields=(
        *common.sizes(202048, 131072, 5120, 8192, 48, 40, num_key_value_heads=8, head_dim=128),
        Field("intermediate_size", "moe_intermediate_size", 8192),
        Field("intermediate_size_mlp", "intermediate_size", 16384),
        *entries.llama_like(eps=1e-5, rotary=common.Rotary(theta=5e5)),
        *entries.BIASES[:1],
        Field("num_local_experts", "num_experts", 16),
        Field("num_experts_per_tok", "num_experts_per_tok", 1),
        Field("use_qk_norm", "qk_norm", True),
        NoRopeLayers(),
        Chunks(),
        entries.Temperature(),
        experts.SparseLayers(),
    ),
    implied=lambda config: {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm_kind": "unweighted",
        "qk_norm_after_rotary": True,
        "norm_topk_prob": False,
        "router.scores": "sigmoid",
        "router.scale_inputs": True,
        "shared_expert.intermediate_size": config.moe_intermediate_size,
    },
    optional_prefix="model.",
    weights=(
        *common.EMBEDDINGS,
        *common.INTERLEAVED_ATTENTION,
        *common.NORMS,
        *(
            layer_weight(f"feed_forward.{p}_proj.weight", f"feed_forward.{p}_proj.weight", when=common.is_dense)
            for p in experts.PARTS
        ),
        experts.router("feed_forward.router"),
        experts.fused("feed_forward.experts.gate_up_proj", ("gate", "up"), transposed=True),
        experts.fused("feed_forward.experts.down_proj", ("down",), transposed=True),
        *experts.shared_expert("feed_forward.shared_expert"),
    ),
)
