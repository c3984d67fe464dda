"""Blocks with one part each: Mamba-2 mixers (Mamba-2, arXiv 2405.21060); mixers, attention and feed-forward layers in turn
(Nemotron-H and Nemotron 3, arXiv 2504.03624)."""

from collections.abc import Mapping
from typing import Any

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts
from lmcraft.model.families.family import Family, Field, Weight
from lmcraft.model.families.recurrent import MambaHeads, TimeStepLimit, mamba_weights


def _weight(hf: str, ours: str, **options: Any) -> Weight:
    """A tensor of a block."""
    return Weight(f"backbone.layers.{{i}}.{hf}", (f"layers.{{i}}.{ours}",), **options)


BACKBONE_TENSORS = (
    Weight("backbone.embeddings.weight", ("embed_tokens.weight",)),
    Weight("backbone.norm_f.weight", ("norm.weight",)),
    Weight("lm_head.weight", ("lm_head.weight",), when=common.is_untied),
    _weight("norm.weight", "attention_norm.weight"),
)
BACKBONE = (*BACKBONE_TENSORS, *mamba_weights("backbone.layers.{i}.mixer"))
FIELDS = (
    Field("use_bias", "mamba.use_bias", False),
    Field("layer_norm_epsilon", "norm_eps", 1e-5),
    Field("tie_word_embeddings", "tie_word_embeddings", False),
)


def one_part(config: TransformerConfig) -> dict[str, Any]:
    """Settings of models whose blocks have one part each, without positions."""
    bias = {"mamba.use_output_bias": config.mamba.use_bias}
    return {"single_sublayer": True, "norm": "rmsnorm", "position": "none", "qk_norm": False, **bias}


NO_ATTENTION = dict.fromkeys(("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"), 1)
MAX_TOKENS = 2**20  # the model has no limit, but a configuration must have one

MAMBA2 = Family(
    model_type="mamba2",
    architecture="Mamba2ForCausalLM",
    fields=(
        Field("vocab_size", "vocab_size", 32768),
        Field("hidden_size", "hidden_size", 4096),
        Field("num_hidden_layers", "num_hidden_layers", 64),
        Field("max_position_embeddings", "max_position_embeddings", MAX_TOKENS),
        MambaHeads("num_heads", "head_dim", "expand", default_width=64),
        Field("state_size", "mamba.state_size", 128),
        Field("n_groups", "mamba.n_groups", 8),
        Field("conv_kernel", "mamba.conv_kernel", 4),
        Field("chunk_size", "mamba.chunk_size", 256),
        Field("use_conv_bias", "mamba.use_conv_bias", True),
        TimeStepLimit(),
        *FIELDS,
        Field("hidden_act", "feed_forward", "silu", {"silu": "swiglu", "swish": "swiglu"}),
    ),
    implied=lambda config: {
        **one_part(config),
        "layer_types": ("mamba",) * config.num_hidden_layers,
        **NO_ATTENTION,
    },
    optional_prefix="backbone.",
    weights=BACKBONE,
)

PARTS = ("up", "down")
SYMBOLS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
TYPES = {"linear_attention": "mamba", "mamba": "mamba", "full_attention": "full_attention", "attention": "full_attention"}


class Blocks:
    """The type of each block; earlier releases write a symbol for each."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        symbols = hf_config.get("hybrid_override_pattern") or "ME*-"
        types = hf_config.get("layers_block_type") or [SYMBOLS[symbol] for symbol in symbols]
        read: dict[str, Any] = {
            "num_hidden_layers": len(types),
            "layer_types": tuple(TYPES.get(name, "feed_forward") for name in types),
            "mlp_only_layers": tuple(layer for layer, name in enumerate(types) if name == "mlp"),
        }
        for field in EXPERTS if "moe" in types else ():
            read |= field.read(hf_config, read)
        return read

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        names = {"mamba": "linear_attention", "full_attention": "full_attention"}
        fed = ["moe" if config.has_experts(layer) else "mlp" for layer in range(config.num_hidden_layers)]
        hf_config["layers_block_type"] = [names.get(*pair) for pair in zip(config.layer_types, fed, strict=True)]
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


def _unsupported(hf_config: Mapping[str, Any]) -> str | None:
    # transformers' experts have no biases, whatever mlp_bias says.
    names = [name for name in ("moe_latent_size", "mlp_bias") if hf_config.get(name)]
    return f"{names[0]}={hf_config[names[0]]}" if names and "moe" in hf_config.get("layers_block_type", ()) else None


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
        Field("time_step_min", "mamba.time_step_min", 0.001, other="mamba_dt_min"),
        Field("mlp_hidden_act", "feed_forward", "relu2", {"relu2": "relu2"}),
        Field("mlp_bias", "mlp_bias", False),
        *FIELDS,
        *common.DROPOUTS,
    ),
    implied=lambda config: one_part(config) | (experts.SIGMOID if config.num_experts else {}),
    refuse=_unsupported,
    optional_prefix="backbone.",
    weights=(
        *BACKBONE,
        _weight("norm.weight", "feed_forward_norm.weight"),
        *(_weight(f"mixer.{p}_proj.weight", f"attention.{p}_proj.weight") for p in "qkvo"),
        *(_weight(f"mixer.{p}_proj.weight", f"feed_forward.{p}_proj.weight", when=common.is_dense) for p in PARTS),
        *(_weight(f"mixer.{p}_proj.bias", f"feed_forward.{p}_proj.bias", when=common.has_mlp_bias) for p in PARTS),
        _weight("mixer.gate.weight", "feed_forward.router.weight", when=experts.has_experts),
        _weight("mixer.gate.e_score_correction_bias", "feed_forward.correction_bias", when=experts.has_experts),
        *(
            _weight(f"mixer.{hf}.{p}_proj.weight", f"feed_forward.{ours}.{p}_proj.weight", when=experts.has_experts)
            for hf, ours in {"experts.{e}": "experts.{e}", "shared_experts": "shared_expert"}.items()
            for p in PARTS
        ),
    ),
)
