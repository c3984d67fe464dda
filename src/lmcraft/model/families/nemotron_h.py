"""Nemotron-H and Nemotron 3 (arXiv 2504.03624): each block is a Mamba-2 mixer, attention, or a feed-forward layer."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.recurrent import mamba_weights

SYMBOLS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
TYPES = {"linear_attention": "mamba", "mamba": "mamba", "full_attention": "full_attention", "attention": "full_attention"}


class Blocks:
    """The type of each block; earlier releases write a symbol for each."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        symbols = hf_config.get("hybrid_override_pattern") or "ME*-"
        types = hf_config.get("layers_block_type") or [SYMBOLS[symbol] for symbol in symbols]
        read = {
            "num_hidden_layers": len(types),
            "layer_types": tuple(TYPES.get(name, "feed_forward") for name in types),
            "mlp_only_layers": tuple(layer for layer, name in enumerate(types) if name == "mlp"),
        }
        return {**read, **_read(EXPERTS, hf_config)} if "moe" in types else read

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        def name(layer: int) -> str:
            if config.has_feed_forward(layer):
                return "moe" if config.has_experts(layer) else "mlp"
            return "full_attention" if config.has_attention(layer) else "linear_attention"

        hf_config["layers_block_type"] = [name(layer) for layer in range(config.num_hidden_layers)]
        for field in EXPERTS if config.num_experts else ():
            field.write(config, hf_config)


EXPERTS = (
    Field("n_routed_experts", "num_experts", 8),
    Field("num_experts_per_tok", "num_experts_per_tok", 2),
    Field("moe_intermediate_size", "moe_intermediate_size", 7688),
    Field("moe_shared_expert_intermediate_size", "shared_expert.intermediate_size", 7688),
    Field("norm_topk_prob", "norm_topk_prob", True),
    *experts.GROUPS,
)


def _read(fields: tuple[Field, ...], hf_config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for field in fields for name, value in field.read(hf_config, {}).items()}


def _unsupported(hf_config: Mapping[str, Any]) -> str | None:
    if hf_config.get("moe_latent_size"):
        return f"moe_latent_size={hf_config['moe_latent_size']}"
    if hf_config.get("mlp_bias") and "moe" in (hf_config.get("layers_block_type") or ()):
        return "mlp_bias=True with experts"
    return None


def _weight(hf: str, ours: str, **options: Any) -> Weight:
    return Weight(f"backbone.layers.{{i}}.{hf}", (f"layers.{{i}}.{ours}",), **options)


NEMOTRON_H = Family(
    model_type="nemotron_h",
    architecture="NemotronHForCausalLM",
    fields=(
        Blocks(),
        *(field for field in common.sizes(131072, 4096, 4096, 21504, 0, 32, 8, 128) if field.hf != "num_hidden_layers"),
        Field("mamba_num_heads", "mamba.num_heads", 128),
        Field("mamba_head_dim", "mamba.head_dim", 64),
        Field("ssm_state_size", "mamba.state_size", 128),
        Field("n_groups", "mamba.n_groups", 8, other="mamba_n_groups"),
        Field("conv_kernel", "mamba.conv_kernel", 4, other="mamba_d_conv"),
        Field("chunk_size", "mamba.chunk_size", 128, other="mamba_chunk_size"),
        Field("use_conv_bias", "mamba.use_conv_bias", True, other="mamba_conv_bias"),
        Field("use_bias", "mamba.use_bias", False),
        Field("time_step_min", "mamba.time_step_min", 0.001, other="mamba_dt_min"),
        Field("mlp_hidden_act", "feed_forward", "relu2", {"relu2": "relu2"}),
        Field("mlp_bias", "mlp_bias", False),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        *common.DROPOUTS,
    ),
    implied=lambda config: {
        "single_sublayer": True,
        "norm": "rmsnorm",
        "position": "none",
        "qk_norm": False,
        "mamba.use_output_bias": config.mamba.use_bias,
        **(experts.SIGMOID if config.num_experts else {}),
    },
    refuse=_unsupported,
    optional_prefix="backbone.",
    weights=(
        Weight("backbone.embeddings.weight", ("embed_tokens.weight",)),
        Weight("backbone.norm_f.weight", ("norm.weight",)),
        Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
        _weight("norm.weight", "attention_norm.weight"),
        _weight("norm.weight", "feed_forward_norm.weight"),
        *mamba_weights("backbone.layers.{i}.mixer"),
        *(_weight(f"mixer.{p}_proj.weight", f"attention.{p}_proj.weight") for p in "qkvo"),
        *(_weight(f"mixer.{p}_proj.weight", f"feed_forward.{p}_proj.weight", when=common.is_dense) for p in ("up", "down")),
        *(_weight(f"mixer.{p}_proj.bias", f"feed_forward.{p}_proj.bias", when=common.has_mlp_bias) for p in ("up", "down")),
        _weight("mixer.gate.weight", "feed_forward.router.weight", when=experts.has_experts),
        _weight("mixer.gate.e_score_correction_bias", "feed_forward.correction_bias", when=experts.has_experts),
        *(
            _weight(f"mixer.{hf}.{p}_proj.weight", f"feed_forward.{ours}.{p}_proj.weight", when=experts.has_experts)
            for hf, ours in {"experts.{e}": "experts.{e}", "shared_experts": "shared_expert"}.items()
            for p in ("up", "down")
        ),
    ),
)
