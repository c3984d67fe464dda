"""Llama, Mistral, Qwen 2 and 3, Phi-3, and others of their kind."""

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config, Key
from lmcraft.gguf.architectures import common
from lmcraft.gguf.architectures.common import BIASES, EXPERT_WIDTH, LLAMA_SCALINGS, NUM_EXPERTS, SCALINGS, SILU
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import Constant, ContextOfOneWindow, LayersWithoutRotary, Optional, Windows
from lmcraft.gguf.rules import INTERLEAVED


class Vocabulary:
    """The size of the vocabulary."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {}

    def write(self, hf_config: Config) -> Config:
        return {"vocab_size": int(hf_config["vocab_size"])}


class WindowsWithoutScaling(Windows):
    """OLMo 3: layers with a window have the same rotary base, but no scaling."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        full = config["rope_parameters"]
        local = {"rope_type": "default", "rope_theta": full["rope_theta"]}
        by_kind = {"full_attention": full, "sliding_attention": local}
        return {**super().read(file, prefix, config), "rope_parameters": by_kind}

    def write(self, hf_config: Config) -> Config:
        rope = hf_config.get("rope_parameters") or {}
        full, local = rope.get("full_attention") or rope, rope.get("sliding_attention") or rope
        if local.get("rope_type", "default") != "default" or local.get("rope_theta") != full.get("rope_theta"):
            raise UserError(
                f"config.json: rope_parameters={local} of layers with a window cannot be exported to GGUF, only the rotary "
                "base of the other layers without scaling"
            )
        return super().write(hf_config)


class NoWindows:
    """EXAONE 4: llama.cpp has windows only for its model with 64 layers."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {"sliding_window": None, "layer_types": ["full_attention"] * config["num_hidden_layers"]}

    def write(self, hf_config: Config) -> Config:
        if hf_config.get("sliding_window") and "sliding_attention" in (
            hf_config.get("layer_types") or ["sliding_attention"]
        ):
            raise UserError(
                f"config.json: sliding_window={hf_config['sliding_window']} cannot be exported to GGUF for exaone4"
            )
        return {}


class Phi3Window:
    """One window for all layers, and the context before LongRoPE."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        original = config["rope_parameters"].get("original_max_position_embeddings", config["max_position_embeddings"])
        window = file.metadata.count(f"{prefix}.attention.sliding_window") or None
        return {"sliding_window": window, "original_max_position_embeddings": original}

    def write(self, hf_config: Config) -> Config:
        return {"attention.sliding_window": int(hf_config.get("sliding_window") or 0)}


LLAMA = Architecture(
    name="llama",
    model_types=("llama", "mistral"),
    hf_class="LlamaForCausalLM",
    keys=common.LLAMA,
    parts=(Vocabulary(), ContextOfOneWindow()),
    rules=INTERLEAVED,
    reads=lambda file: not file.metadata.count("llama.expert_count"),
    fixed=SILU,
    biases=BIASES,
    scalings=LLAMA_SCALINGS,
    rotates_whole_heads=True,
    writes_rope_width=True,
)
QWEN2 = Architecture(
    name="qwen2",
    model_types=("qwen2",),
    hf_class="Qwen2ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"use_sliding_window": False},
    scalings=SCALINGS,
    square=True,
)
QWEN3 = Architecture(
    name="qwen3",
    model_types=("qwen3",),
    hf_class="Qwen3ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"use_sliding_window": False, "attention_bias": False},
    scalings=SCALINGS,
    head_dim=128,
    head_dim_key="qwen3_moe.attention.key_length",
)
QWEN3_MOE = Architecture(
    name="qwen3moe",
    model_types=("qwen3_moe",),
    hf_class="Qwen3MoeForCausalLM",
    keys=(*common.LLAMA, *NUM_EXPERTS, EXPERT_WIDTH),
    fixed=SILU
    | {"use_sliding_window": False, "attention_bias": False}
    | {"norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
    scalings=SCALINGS,
)
PHI3 = Architecture(
    name="phi3",
    model_types=("phi3",),
    hf_class="Phi3ForCausalLM",
    keys=common.LLAMA,
    parts=(Phi3Window(),),
    fixed=SILU,
    scalings=("default", "longrope"),
    square=True,
    writes_rope_width=True,
)
OLMO2 = Architecture(
    name="olmo2",
    model_types=("olmo2",),
    hf_class="Olmo2ForCausalLM",
    keys=common.LLAMA,
    reads=lambda file: not file.metadata.count("olmo2.attention.sliding_window"),
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    square=True,
)

OLMO3 = Architecture(
    name="olmo2",
    model_types=("olmo3",),
    hf_class="Olmo3ForCausalLM",
    keys=common.LLAMA,
    parts=(WindowsWithoutScaling(4),),
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    square=True,
)
OLMO = Architecture(
    name="olmo",
    model_types=("olmo",),
    hf_class="OlmoForCausalLM",
    keys=(*common.SIZES, common.KV_HEADS),
    parts=(Constant("attention.layer_norm_epsilon", 1e-5), Optional("attention.clamp_kqv", "clip_qkv")),
    rules=INTERLEAVED,
    fixed=SILU | {"attention_bias": False},
    scalings=SCALINGS,
    square=True,
)
MULTIPLIERS = (
    Key("attention.scale", "attention_multiplier", "number"),
    Key("embedding_scale", "embedding_multiplier", "number"),
    Key("residual_scale", "residual_multiplier", "number"),
    Key("logit_scale", "logits_scaling", "number"),
)
GRANITE = Architecture(
    name="granite",
    model_types=("granite",),
    hf_class="GraniteForCausalLM",
    keys=(*common.LLAMA, *MULTIPLIERS),
    parts=(Vocabulary(),),
    rules=INTERLEAVED,
    fixed=SILU,
    biases=BIASES,
    scalings=LLAMA_SCALINGS,
    square=True,
    writes_rope_width=True,
)
SMOLLM3 = Architecture(
    name="smollm3",
    model_types=("smollm3",),
    hf_class="SmolLM3ForCausalLM",
    keys=common.LLAMA,
    parts=(Vocabulary(), LayersWithoutRotary(4)),
    rules=INTERLEAVED,
    fixed=SILU | {"attention_bias": False, "mlp_bias": False, "use_sliding_window": False},
    scalings=LLAMA_SCALINGS,
    writes_rope_width=True,
    tied=True,
)
SEED_OSS = Architecture(
    name="seed_oss",
    model_types=("seed_oss",),
    hf_class="SeedOssForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"attention_out_bias": False, "mlp_bias": False},
    biases={"attention_bias": "blk.0.attn_q.bias"},
    scalings=SCALINGS,
    head_dim=128,
)
ERNIE4_5 = Architecture(
    name="ernie4_5",
    model_types=("ernie4_5",),
    hf_class="Ernie4_5ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"use_bias": False},
    scalings=("default", "linear"),
    head_dim=128,
    theta=500_000.0,
    tied=True,
)
HUNYUAN = Architecture(
    name="hunyuan-dense",
    model_types=("hunyuan_v1_dense",),
    hf_class="HunYuanDenseV1ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU | {"attention_bias": False},
    scalings=("default",),
)
EXAONE4 = Architecture(
    name="exaone4",
    model_types=("exaone4",),
    hf_class="Exaone4ForCausalLM",
    keys=common.LLAMA,
    parts=(NoWindows(),),
    fixed=SILU,
    scalings=LLAMA_SCALINGS,
)
ARCEE = Architecture(
    name="arcee",
    model_types=("arcee",),
    hf_class="ArceeForCausalLM",
    keys=common.LLAMA,
    parts=(Vocabulary(),),
    rules=INTERLEAVED,
    fixed={"hidden_act": "relu2", "attention_bias": False, "mlp_bias": False},
    scalings=LLAMA_SCALINGS,
    writes_rope_width=True,
)
GLM4 = Architecture(
    name="glm4",
    model_types=("glm4",),
    hf_class="Glm4ForCausalLM",
    keys=common.LLAMA,
    fixed=SILU,
    biases={"attention_bias": "blk.0.attn_q.bias"},
    scalings=SCALINGS,
    head_dim=128,
    writes_rope_width=True,
)

ARCHITECTURES = (
    *(LLAMA, QWEN2, QWEN3, QWEN3_MOE, PHI3, OLMO2, OLMO3, OLMO),
    *(GRANITE, SMOLLM3, SEED_OSS, ERNIE4_5, HUNYUAN, EXAONE4, ARCEE, GLM4),
)
