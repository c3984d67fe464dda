"""Families with multi-head latent attention: DeepSeek V2 (arXiv 2405.04434) and V3 (arXiv 2412.19437), GLM 4.7
Flash, Youtu-LLM, Sarvam, Mistral 4 and MiniCPM 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import common, experts, ministral
from lmcraft.model.families.common import layer_weight
from lmcraft.model.families.family import Entry, Family, Field
from lmcraft.model.families.layouts import RotaryPairs

TOPK_METHODS = ("greedy", "group_limited_greedy")
DENSE, SPARSE = "dense", "sparse"


def _rotated_rows(config: TransformerConfig) -> int:
    return config.latent_attention.qk_rope_head_dim if config.latent_attention.rope_interleave else 2  # two stay as they are


QUERY_ROWS = RotaryPairs(
    head=lambda config: config.head_dim,
    width=_rotated_rows,
    first=lambda config: config.latent_attention.qk_nope_head_dim,
)
LATENT_ROWS = RotaryPairs(
    head=lambda config: config.latent_attention.kv_lora_rank + config.latent_attention.qk_rope_head_dim,
    width=_rotated_rows,
    first=lambda config: config.latent_attention.kv_lora_rank,
)


def has_query_rank(config: TransformerConfig, layer: int) -> bool:
    return config.latent_attention.q_lora_rank > 0


def has_no_query_rank(config: TransformerConfig, layer: int) -> bool:
    return not has_query_rank(config, layer)


def has_query_rank_bias(config: TransformerConfig, layer: int) -> bool:
    return has_query_rank(config, layer) and common.has_output_bias(config, layer)


def sizes(
    *defaults: int, latent: tuple[int, int | None, int, int, int], rotary: common.Rotary | None = None
) -> tuple[Entry, ...]:
    """The sizes, with the defaults of `common.sizes` and of the ranks and widths of latent attention in DeepSeek's order."""
    return (
        *common.sizes(*defaults)[:-1],  # head_dim is another width in each program
        Field("kv_lora_rank", "latent_attention.kv_lora_rank", latent[0]),
        Field("q_lora_rank", "latent_attention.q_lora_rank", latent[1] or 0, null_is_zero=True),
        Field("qk_nope_head_dim", "latent_attention.qk_nope_head_dim", latent[2]),
        Field("qk_rope_head_dim", "latent_attention.qk_rope_head_dim", latent[3]),
        Field("v_head_dim", "latent_attention.v_head_dim", latent[4]),
        Field("attention_bias", "attention_bias", False, common.BIAS),
        Field("hidden_act", "feed_forward", "silu", common.SILU),
        rotary or common.Rotary(types=("default", "linear", "llama3", "yarn")),
        *common.DROPOUTS,
    )


def implied(config: TransformerConfig) -> dict[str, Any]:
    """Our fields that latent attention implies."""
    latent = config.latent_attention
    return {
        "norm": "rmsnorm",
        "position": "rotary",
        "qk_norm": False,
        "head_dim": latent.qk_nope_head_dim + latent.qk_rope_head_dim,
    }


@dataclass(frozen=True)
class SparseLayers:
    """`mlp_layer_types`: which layers have experts; if the key is missing, all but the first."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers = read_so_far["num_hidden_layers"]
        types = common.per_layer(hf_config, "mlp_layer_types", layers, (DENSE, SPARSE))
        types = types or [DENSE] + [SPARSE] * (layers - 1)
        return {"mlp_only_layers": tuple(layer for layer, kind in enumerate(types) if kind == DENSE)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        sparse = [config.has_experts(layer) for layer in range(config.num_hidden_layers)]
        hf_config["mlp_layer_types"] = [SPARSE if has_experts else DENSE for has_experts in sparse]


@dataclass(frozen=True)
class TopkMethod:
    """DeepSeek V2's choice of experts: among all (greedy), or among those of the best groups."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        method = hf_config.get("topk_method") or TOPK_METHODS[0]
        if method not in TOPK_METHODS:
            raise UserError(f"config.json: topk_method={method!r} is not supported; supported: {', '.join(TOPK_METHODS)}")
        if method == TOPK_METHODS[0]:
            return {"router.n_group": 1, "router.topk_group": 1}
        return {"router.n_group": hf_config.get("n_group"), "router.topk_group": hf_config.get("topk_group")}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["topk_method"] = TOPK_METHODS[config.router.n_group > 1]
        hf_config["n_group"], hf_config["topk_group"] = config.router.n_group, config.router.topk_group


@dataclass(frozen=True)
class MiniCpmScales:
    """Scales of the residual stream, by the square root of the number of layers, and of the logits, by a width."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        layers, width = read_so_far["num_hidden_layers"], read_so_far["hidden_size"]
        depth, base = hf_config.get("scale_depth", 1.4), hf_config.get("dim_model_base", 256)
        residual = 1.0 if depth is None else depth / layers**0.5
        return {"multipliers.residual": residual, "multipliers.logits": 1.0 if base is None else base / width}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["scale_depth"] = float(f"{config.multipliers.residual * config.num_hidden_layers**0.5:.15g}")
        hf_config["dim_model_base"] = round(config.multipliers.logits * config.hidden_size)


MISTRAL4_ROTARY = ministral.Ministral3Rotary(
    types=("default", "linear", "yarn"),
    missing={**ministral.MISSING, "rope_theta": 1e4, "factor": 128.0, "original_max_position_embeddings": 8192},
)
INTERLEAVED = Field("rope_interleave", "latent_attention.rope_interleave", True)
ATTENTION = (
    layer_weight("self_attn.q_a_proj.weight", "attention.q_a_proj.weight", when=has_query_rank),
    layer_weight("self_attn.q_a_proj.bias", "attention.q_a_proj.bias", when=has_query_rank_bias),
    layer_weight("self_attn.q_a_layernorm.weight", "attention.q_a_norm.weight", when=has_query_rank),
    layer_weight("self_attn.q_b_proj.weight", "attention.q_proj.weight", layout=QUERY_ROWS, when=has_query_rank),
    layer_weight("self_attn.q_proj.weight", "attention.q_proj.weight", layout=QUERY_ROWS, when=has_no_query_rank),
    layer_weight("self_attn.kv_a_proj_with_mqa.weight", "attention.kv_a_proj.weight", layout=LATENT_ROWS),
    layer_weight(
        "self_attn.kv_a_proj_with_mqa.bias", "attention.kv_a_proj.bias", layout=LATENT_ROWS, when=common.has_output_bias
    ),
    layer_weight("self_attn.kv_a_layernorm.weight", "attention.kv_a_norm.weight"),
    layer_weight("self_attn.kv_b_proj.weight", "attention.kv_b_proj.weight"),
    layer_weight("self_attn.o_proj.weight", "attention.o_proj.weight"),
    layer_weight("self_attn.o_proj.bias", "attention.o_proj.bias", when=common.has_output_bias),
)
EXPERTS = (experts.router(), *experts.experts(), *experts.shared_expert())
WEIGHTS = (*common.EMBEDDINGS, *ATTENTION, *common.MLP, *common.NORMS, *EXPERTS)


def _sparse_fields(
    num_experts: int, per_token: int, width: int, scaling: float, groups: tuple[int, int]
) -> tuple[Entry, ...]:
    """Experts as in DeepSeek V3, with defaults."""
    return (
        Field("n_routed_experts", "num_experts", num_experts, other="num_local_experts"),
        Field("num_experts_per_tok", "num_experts_per_tok", per_token),
        Field("moe_intermediate_size", "moe_intermediate_size", width),
        experts.SharedExperts(default=1),
        Field("norm_topk_prob", "norm_topk_prob", True),
        Field("routed_scaling_factor", "router.scaling_factor", scaling),
        Field("n_group", "router.n_group", groups[0]),
        Field("topk_group", "router.topk_group", groups[1]),
        INTERLEAVED,
    )


DEEPSEEK_V3 = Family(
    model_type="deepseek_v3",
    architecture="DeepseekV3ForCausalLM",
    fields=(
        *sizes(129280, 4096, 7168, 18432, 61, 128, latent=(512, 1536, 128, 64, 128)),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        *_sparse_fields(256, 8, 2048, 2.5, groups=(8, 4)),
        experts.FirstDenseLayers(default=3),
    ),
    implied=lambda config: implied(config) | experts.SIGMOID,
    optional_prefix="model.",
    weights=(*WEIGHTS, experts.correction_bias()),
)

SARVAM_MLA = Family(
    model_type="sarvam_mla",
    architecture="SarvamMLAForCausalLM",
    fields=(
        *sizes(262144, 4096, 4096, 16384, 32, 64, latent=(512, None, 128, 64, 128)),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        *_sparse_fields(128, 8, 2048, 2.5, groups=(1, 1)),
        experts.FirstDenseLayers(default=1),
    ),
    implied=DEEPSEEK_V3.implied,
    optional_prefix="model.",
    weights=DEEPSEEK_V3.weights,
)

GLM4_MOE_LITE = Family(
    model_type="glm4_moe_lite",
    architecture="Glm4MoeLiteForCausalLM",
    fields=(
        *sizes(154880, 202752, 2048, 10240, 47, 20, latent=(512, 768, 192, 64, 256)),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        *_sparse_fields(64, 4, 1536, 1.8, groups=(1, 1)),
        SparseLayers(),
    ),
    implied=DEEPSEEK_V3.implied,
    optional_prefix="model.",
    weights=DEEPSEEK_V3.weights,
)

DEEPSEEK_V2 = Family(
    model_type="deepseek_v2",
    architecture="DeepseekV2ForCausalLM",
    fields=(
        *sizes(102400, 2048, 4096, 11008, 32, 32, latent=(512, 1536, 128, 64, 128)),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        Field("mlp_bias", "mlp_bias", False, {False: False}),
        Field("n_routed_experts", "num_experts", 64),
        Field("num_experts_per_tok", "num_experts_per_tok"),
        Field("moe_intermediate_size", "moe_intermediate_size", 1407),
        experts.SharedExperts(default=2),
        Field("routed_scaling_factor", "router.scaling_factor", 1.0),
        Field("norm_topk_prob", "norm_topk_prob", False, {False: False}),
        TopkMethod(),
        experts.FirstDenseLayers(),
    ),
    implied=lambda config: implied(config) | {"router.group_score": "max", "router.in_float32": True},
    optional_prefix="model.",
    weights=WEIGHTS,
)

YOUTU = Family(
    model_type="youtu",
    architecture="YoutuForCausalLM",
    fields=(
        *sizes(128256, 131072, 2048, 6144, 32, 16, latent=(512, 1536, 128, 64, 128)),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        INTERLEAVED,
    ),
    implied=implied,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *ATTENTION, *common.MLP, *common.NORMS),
)

MISTRAL4 = Family(
    model_type="mistral4",
    architecture="Mistral4ForCausalLM",
    fields=(
        *sizes(131072, 1048576, 4096, 12288, 36, 32, latent=(256, 1024, 64, 64, 128), rotary=MISTRAL4_ROTARY),
        Field("rms_norm_eps", "norm_eps", 1e-6),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        *_sparse_fields(128, 4, 2048, 1.0, groups=(1, 1)),
        experts.FirstDenseLayers(),
    ),
    implied=lambda config: implied(config) | {"router.group_score": "top2"},
    optional_prefix="model.",
    weights=WEIGHTS,
)

MINICPM3 = Family(
    model_type="minicpm3",
    architecture="MiniCPM3ForCausalLM",
    fields=(
        *sizes(73448, 32768, 2560, 6400, 62, 40, latent=(256, 768, 64, 32, 64)),
        Field("rms_norm_eps", "norm_eps", 1e-5),
        Field("tie_word_embeddings", "tie_word_embeddings", True),
        Field("mlp_bias", "mlp_bias", False, {False: False}),
        Field("scale_emb", "multipliers.embedding", 12),
        MiniCpmScales(),
    ),
    implied=lambda config: implied(config) | {"latent_attention.rope_interleave": False},
    optional_prefix="model.",
    weights=YOUTU.weights,
)
