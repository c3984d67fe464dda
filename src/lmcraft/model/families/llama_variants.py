"""Families that differ from Llama in few settings: Seed-OSS, ERNIE 4.5, EXAONE 3, Helium, AFM (Arcee), CWM, InternLM 3,
IQuest-Coder."""

from lmcraft.model.families import common, entries
from lmcraft.model.families.family import Family, Field

SEED_OSS = Family(
    model_type="seed_oss",
    architecture="SeedOssForCausalLM",
    fields=(
        *common.sizes(155136, 524288, 4096, 27648, 64, 80, num_key_value_heads=8, head_dim=128),
        entries.SplitBias("attention_bias", "attention_out_bias", qkv=True, output=False),
        Field("mlp_bias", "mlp_bias", False),
        *entries.llama_like()[:4],
        Field("attention_dropout", "attention_dropout", 0.1),
        Field("residual_dropout", "residual_dropout", 0.1),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)

ERNIE4_5 = Family(
    model_type="ernie4_5",
    architecture="Ernie4_5ForCausalLM",
    fields=(
        *common.sizes(103424, 131072, 1024, 3072, 18, 16, num_key_value_heads=2, head_dim=128),
        Field("use_bias", "attention_bias", False, common.BIAS),
        Field("use_bias", "mlp_bias", False),
        *entries.llama_like(eps=1e-5, tied=True, rotary=common.Rotary(theta=500000.0)),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.INTERLEAVED_ATTENTION, *common.MLP, *common.NORMS),
)

HELIUM = Family(
    model_type="helium",
    architecture="HeliumForCausalLM",
    fields=(
        *common.sizes(48000, 4096, 2560, 7040, 24, 20, num_key_value_heads=20, head_dim=128),
        Field("attention_bias", "attention_bias", False, {True: "qkv", False: "none"}),
        Field("mlp_bias", "mlp_bias", False),
        *entries.llama_like(eps=1e-8, rotary=common.Rotary(theta=100000.0)),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.INTERLEAVED_ATTENTION, *common.MLP, *common.NORMS),
)

ARCEE = Family(
    model_type="arcee",
    architecture="ArceeForCausalLM",
    fields=(
        *common.sizes(32000, 4096, 2560, 18432, 32, 32),
        *entries.BIASES,
        *entries.llama_like(eps=1e-5, act=Field("hidden_act", "feed_forward", "relu2", entries.UNGATED)),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=(*common.EMBEDDINGS, *common.ATTENTION, *entries.ungated(), *common.NORMS),
)

CWM = Family(
    model_type="cwm",
    architecture="CwmForCausalLM",
    fields=(
        *common.sizes(128256, 131072, 6144, 21504, 64, 48, num_key_value_heads=8, head_dim=128),
        Field("mlp_bias", "mlp_bias", False),
        *entries.llama_like(eps=1e-5, rotary=common.Rotary(theta=1e6, missing=entries.llama3(1e6, 16.0))),
        common.LayeredWindow(8192, entries.full_first(4)),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
    constants={"bos_token_id": 128000},  # which transformers' configuration requires
)

INTERNLM3 = Family(
    model_type="internlm3",
    architecture="InternLM3ForCausalLM",
    fields=(
        *common.sizes(128512, 32768, 4096, 10240, 48, 32, num_key_value_heads=2, head_dim=128),
        Field("qkv_bias", "attention_bias", False, common.BIAS, other="attention_bias"),
        Field("bias", "mlp_bias", False, other="mlp_bias"),
        *entries.llama_like(eps=1e-5, rotary=common.Rotary(theta=5e7, types=("default", "linear", "dynamic", "yarn"))),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)

IQUESTCODER = Family(
    model_type="iquestcoder",
    architecture="IQuestCoderForCausalLM",
    fields=(
        *common.sizes(76800, 131072, 5120, 27648, 80, 40, num_key_value_heads=8, head_dim=128),
        *entries.BIASES,
        *entries.llama_like(eps=1e-5),
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="model.",
    weights=entries.LLAMA,
)

_EXAONE_NAMES = {
    "model.embed_tokens": "transformer.wte",
    "model.layers": "transformer.h",
    "model.norm": "transformer.ln_f",
    "self_attn": "attn.attention",
    "attn.attention.o_proj": "attn.attention.out_proj",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "mlp.gate_proj": "mlp.c_fc_0",
    "mlp.up_proj": "mlp.c_fc_1",
    "mlp.down_proj": "mlp.c_proj",
}


EXAONE = Family(
    model_type="exaone",
    architecture="ExaoneForCausalLM",
    fields=(
        Field("num_layers", "num_hidden_layers", 32, other="num_hidden_layers"),
        *(entry for entry in common.sizes(102400, 4096, 4096, 14336, 32, 32, 8) if entry.hf != "num_hidden_layers"),
        *entries.BIASES,
        Field("layer_norm_epsilon", "norm_eps", 1e-5, other="rms_norm_eps"),
        Field("activation_function", "feed_forward", "silu", common.SILU, other="hidden_act"),
        Field("tie_word_embeddings", "tie_word_embeddings", False),
        common.Rotary(theta=500000.0),
        *common.DROPOUTS,
    ),
    implied=lambda config: common.PLAIN,
    optional_prefix="transformer.",
    weights=entries.renamed(entries.LLAMA, _EXAONE_NAMES),
)
