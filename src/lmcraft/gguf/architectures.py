"""Table of the supported llama.cpp architectures: their Hugging Face model types and the names of their settings.

The table is used in both directions. It follows llama.cpp's converter (`convert_hf_to_gguf.py`) and loader.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lmcraft.errors import UserError
from lmcraft.gguf.container import GGUFFile

Kind = Literal["count", "number", "flag"]


@dataclass(frozen=True)
class Key:
    """One metadata key and the matching key of config.json."""

    gguf: str
    """Metadata key without the architecture prefix."""
    hf: str
    kind: Kind = "count"
    default: Callable[[Mapping[str, Any]], Any] | None = None
    """Default of a missing key, computed from the settings read so far; None: the key is required."""
    other: str = ""
    """Key in other releases of transformers, written from if `hf` is missing."""

    def read(self, file: GGUFFile, prefix: str, config: Mapping[str, Any]) -> Any:
        """Read the value: a count of at least 1, a number above 0, or a flag.

        Raises:
            UserError: the value is missing or invalid.
        """
        name, metadata = f"{prefix}.{self.gguf}", file.metadata
        value: Any
        if self.kind == "count":
            value = metadata.count(name, minimum=1)
        elif self.kind == "number":
            value = metadata.number(name)
            if value is not None and value <= 0:
                raise metadata.invalid(name, f"{value} is not greater than 0")
        else:
            value = metadata.flag(name)
        if value is not None:
            return value
        if self.default is None:
            raise UserError(f"'{file.path}' has no key '{name}'; it is not a complete model")
        return self.default(config)

    def write(self, hf_config: Mapping[str, Any]) -> Any:
        """The value to write, from config.json.

        Raises:
            UserError: config.json has no valid value.
        """
        value = hf_config.get(self.hf)
        value = hf_config.get(self.other) if value is None else value
        if value is None and self.default is not None:
            value = self.default(hf_config)
        if self.kind == "flag" and isinstance(value, bool):
            return value
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "count" else int | float):
            raise UserError(f"config.json: {self.hf}={value!r} is not a {self.kind}; config.json is damaged")
        return float(value) if self.kind == "number" else value


@dataclass(frozen=True)
class Architecture:
    """One architecture of llama.cpp."""

    name: str
    model_types: tuple[str, ...]
    """Hugging Face model types; a file is read as the first."""
    hf_class: str
    keys: tuple[Key, ...]
    hidden: str = "hidden_size"
    heads: str = "num_attention_heads"
    layers: str = "num_hidden_layers"
    """Names of these three settings in config.json."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings of config.json that the architecture implies; other values are rejected when writing."""
    biases: Mapping[str, str] = field(default_factory=dict)
    """Settings that are true if the first layer has the named tensor."""
    scalings: tuple[str, ...] = ("default",)
    """Rotary scaling types that llama.cpp supports for it; empty: no rotary positions."""
    head_dim: int | None = None
    """Default `head_dim` of config.json; None: hidden_size / heads."""
    has_head_dim: bool = True
    """Whether config.json has the key `head_dim`."""
    square: bool = False
    """llama.cpp requires heads * head_dim == hidden_size."""
    theta: float = 10000.0
    theta_key: str = "rope_theta"
    partial_key: str = "partial_rotary_factor"
    partial: float = 1.0
    tied: bool = False
    """Default `tie_word_embeddings` of config.json."""
    head_dim_key: str = ""
    """A second key of the head width for transformers, which reads it for this architecture under the name of another one;
    llama.cpp ignores it."""
    needs_output: bool = False
    """llama.cpp needs the output projection even if it is tied to the embedding."""

    def hf(self, gguf: str) -> str:
        """The config.json key of a metadata key."""
        return next(key.hf for key in self.keys if key.gguf == gguf)


def _same_heads(config: Mapping[str, Any]) -> Any:
    return config.get("num_attention_heads")


SIZES = (
    Key("context_length", "max_position_embeddings"),
    Key("embedding_length", "hidden_size"),
    Key("block_count", "num_hidden_layers"),
    Key("feed_forward_length", "intermediate_size"),
    Key("attention.head_count", "num_attention_heads"),
)
LLAMA_KEYS = (
    *SIZES,
    Key("attention.head_count_kv", "num_key_value_heads", default=_same_heads),
    Key("attention.layer_norm_rms_epsilon", "rms_norm_eps", "number"),
)
SILU = {"hidden_act": "silu"}
QWEN_SCALINGS = ("default", "linear", "yarn")

LLAMA = Architecture(
    name="llama",
    model_types=("llama", "mistral"),
    hf_class="LlamaForCausalLM",
    keys=LLAMA_KEYS,
    fixed=SILU,
    biases={"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_gate.bias"},
    scalings=("default", "linear", "llama3", "yarn"),
)
QWEN2 = Architecture(
    name="qwen2",
    model_types=("qwen2",),
    hf_class="Qwen2ForCausalLM",
    keys=LLAMA_KEYS,
    fixed=SILU | {"use_sliding_window": False},
    scalings=QWEN_SCALINGS,
    square=True,
)
QWEN3 = Architecture(
    name="qwen3",
    model_types=("qwen3",),
    hf_class="Qwen3ForCausalLM",
    keys=LLAMA_KEYS,
    fixed=SILU | {"use_sliding_window": False, "attention_bias": False},
    scalings=QWEN_SCALINGS,
    head_dim=128,
    head_dim_key="qwen3_moe.attention.key_length",
)
QWEN3_MOE = Architecture(
    name="qwen3moe",
    model_types=("qwen3_moe",),
    hf_class="Qwen3MoeForCausalLM",
    keys=(
        *LLAMA_KEYS,
        Key("expert_count", "num_experts", other="num_local_experts"),
        Key("expert_used_count", "num_experts_per_tok"),
        Key("expert_feed_forward_length", "moe_intermediate_size"),
    ),
    fixed=SILU
    | {"use_sliding_window": False, "attention_bias": False}
    | {"norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []},
    scalings=QWEN_SCALINGS,
)
GEMMA3 = Architecture(
    name="gemma3",
    model_types=("gemma3_text",),
    hf_class="Gemma3ForCausalLM",
    keys=LLAMA_KEYS,
    fixed={"hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "attn_logit_softcapping": None},
    scalings=("default", "linear"),
    head_dim=256,
    theta=1_000_000.0,
    tied=True,
)
PHI3 = Architecture(
    name="phi3",
    model_types=("phi3",),
    hf_class="Phi3ForCausalLM",
    keys=LLAMA_KEYS,
    fixed=SILU,
    scalings=("default", "longrope"),
    square=True,
)
GPT_NEOX = Architecture(
    name="gptneox",
    model_types=("gpt_neox",),
    hf_class="GPTNeoXForCausalLM",
    keys=(
        *SIZES,
        Key("attention.layer_norm_epsilon", "layer_norm_eps", "number"),
        Key("use_parallel_residual", "use_parallel_residual", "flag", lambda config: True),
    ),
    fixed={"hidden_act": "gelu", "attention_bias": True},  # llama.cpp uses tanh GELU for either
    scalings=QWEN_SCALINGS,
    has_head_dim=False,
    square=True,
    theta_key="rotary_emb_base",
    partial_key="rotary_pct",
    partial=0.25,
    needs_output=True,
)
GPT2 = Architecture(
    name="gpt2",
    model_types=("gpt2",),
    hf_class="GPT2LMHeadModel",
    keys=(
        Key("context_length", "n_positions"),
        Key("embedding_length", "n_embd"),
        Key("block_count", "n_layer"),
        Key("feed_forward_length", "n_inner", default=lambda config: 4 * config["n_embd"]),
        Key("attention.head_count", "n_head"),
        Key("attention.layer_norm_epsilon", "layer_norm_epsilon", "number"),
    ),
    hidden="n_embd",
    heads="n_head",
    layers="n_layer",
    fixed={"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    scalings=(),
    has_head_dim=False,
    square=True,
    tied=True,
)

ARCHITECTURES = {entry.name: entry for entry in (LLAMA, QWEN2, QWEN3, QWEN3_MOE, GEMMA3, PHI3, GPT_NEOX, GPT2)}


def architecture_of(file: GGUFFile) -> Architecture:
    """The architecture of a file.

    Raises:
        UserError: the architecture is missing or not supported, or the file is not a complete model.
    """
    if (kind := file.metadata.text("general.type") or "model") != "model":
        raise UserError(f"'{file.path}' is of type {kind!r}, not a model; use the file of the model itself")
    if (parts := file.metadata.count("split.count") or 1) > 1:
        raise UserError(
            f"'{file.path}' is one of {parts} parts of a model; join them with `llama-gguf-split --merge FIRST_PART WHOLE`"
        )
    name = file.metadata.text("general.architecture")
    if name not in ARCHITECTURES:
        raise UserError(
            f"'{file.path}' has the architecture {name!r}, which is not supported; supported: {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def architecture_for(hf_config: Mapping[str, Any]) -> Architecture:
    """The architecture to write a config.json as.

    Raises:
        UserError: GGUF has no architecture for its model type.
    """
    model_type = hf_config.get("model_type")
    architecture = next((entry for entry in ARCHITECTURES.values() if model_type in entry.model_types), None)
    if architecture is None:
        supported = ", ".join(name for entry in ARCHITECTURES.values() for name in entry.model_types)
        raise UserError(
            f"model_type={model_type!r} cannot be exported to GGUF; supported: {supported}. Choose a configuration that "
            "one of these can express"
        )
    return architecture
