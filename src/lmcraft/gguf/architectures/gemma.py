"""The Gemmas."""

from dataclasses import dataclass
from typing import Any

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config
from lmcraft.gguf.architectures import common
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.parts import Windows, read_pattern
from lmcraft.gguf.rules import plus_one

GEMMA_PATTERN = 6  # Gemma 3: every sixth layer has full attention
GEMMA_LOCAL_THETA = 10000.0
GEMMA2_27B_LAYERS = 46
GEMMA3_27B_LAYERS = 62


class Gemma3Attention:
    """Windows, their own rotary base, and the bound of the logits."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        metadata, layers = file.metadata, config["num_hidden_layers"]
        window = metadata.count("gemma3.attention.sliding_window") or 0
        local = metadata.number("gemma3.rope.freq_base_swa") or GEMMA_LOCAL_THETA
        if local < 0:
            raise metadata.invalid("gemma3.rope.freq_base_swa", f"{local} is negative")
        sliding = read_pattern(file, "gemma3.attention.sliding_window_pattern", layers, GEMMA_PATTERN)
        return {
            "final_logit_softcapping": metadata.number("gemma3.final_logit_softcapping") or None,
            "sliding_window": window or None,
            "layer_types": ["sliding_attention" if window and slides else "full_attention" for slides in sliding],
            "rope_local_base_freq": local,
            "rope_parameters": {
                "full_attention": config["rope_parameters"],
                "sliding_attention": {"rope_type": "default", "rope_theta": local},
            },
        }

    def write(self, hf_config: Config) -> Config:
        layers = int(hf_config["num_hidden_layers"])
        types = hf_config.get("layer_types")
        every = int(hf_config.get("sliding_window_pattern") or GEMMA_PATTERN)
        sliding = (
            [kind == "sliding_attention" for kind in types] if types else [bool((i + 1) % every) for i in range(layers)]
        )
        local = ((hf_config.get("rope_parameters") or {}).get("sliding_attention") or {}).get("rope_theta")
        local = local or hf_config.get("rope_local_base_freq") or GEMMA_LOCAL_THETA
        metadata: dict[str, Any] = {"rope.freq_base_swa": float(local)}
        if cap := hf_config.get("final_logit_softcapping"):
            metadata["final_logit_softcapping"] = float(cap)
        if not any(sliding) or not hf_config.get("sliding_window", 4096):
            return metadata
        metadata["attention.sliding_window"] = int(hf_config.get("sliding_window", 4096))
        if sliding != [bool((layer + 1) % GEMMA_PATTERN) for layer in range(layers)]:
            metadata["attention.sliding_window_pattern"] = sliding
        return metadata


@dataclass(frozen=True)
class QueryScalar:
    """Attention scores are divided by the square root of this: head_dim, except in the 27B models, recognized by their
    layers."""

    layers: int

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        return {"query_pre_attn_scalar": self.of(config)}

    def write(self, hf_config: Config) -> Config:
        expected = self.of(hf_config)
        if (scalar := hf_config.get("query_pre_attn_scalar") or 256) != expected:
            raise UserError(f"config.json: query_pre_attn_scalar={scalar} cannot be exported to GGUF, only {expected}")
        return {}

    def of(self, config: Config) -> int:
        if config["num_hidden_layers"] == self.layers:
            return int(config["hidden_size"] // config["num_attention_heads"])
        return int(config.get("head_dim") or 256)


class Gemma2Bounds:
    """Bounds of attention scores, which llama.cpp always applies, and of logits; 0: none."""

    def read(self, file: GGUFFile, prefix: str, config: Config) -> Config:
        attention = file.metadata.number(f"{prefix}.attn_logit_softcapping")
        logits = file.metadata.number(f"{prefix}.final_logit_softcapping")
        return {
            "attn_logit_softcapping": 50.0 if attention is None else attention,
            "final_logit_softcapping": 30.0 if logits is None else logits or None,
        }

    def write(self, hf_config: Config) -> Config:
        attention, logits = hf_config.get("attn_logit_softcapping"), hf_config.get("final_logit_softcapping")
        if not attention:
            raise UserError(
                f"config.json: attn_logit_softcapping={attention} cannot be exported to GGUF for gemma2: llama.cpp always "
                "bounds attention scores"
            )
        return {"attn_logit_softcapping": float(attention), "final_logit_softcapping": float(logits or 0)}


GEMMA3 = Architecture(
    name="gemma3",
    model_types=("gemma3_text",),
    hf_class="Gemma3ForCausalLM",
    keys=common.LLAMA,
    parts=(Gemma3Attention(), QueryScalar(GEMMA3_27B_LAYERS)),
    rules=(plus_one(),),
    fixed={"hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "attn_logit_softcapping": None},
    scalings=("default", "linear"),
    head_dim=256,
    theta=1_000_000.0,
    tied=True,
)

GEMMA = Architecture(
    name="gemma",
    model_types=("gemma",),
    hf_class="GemmaForCausalLM",
    keys=common.LLAMA,
    rules=(plus_one(),),
    fixed={"hidden_act": "gelu_pytorch_tanh", "attention_bias": False, "tie_word_embeddings": True},
    head_dim=256,
    tied=True,
)
GEMMA2 = Architecture(
    name="gemma2",
    model_types=("gemma2",),
    hf_class="Gemma2ForCausalLM",
    keys=common.LLAMA,
    parts=(
        Windows(2, default=4096),
        QueryScalar(GEMMA2_27B_LAYERS),
        Gemma2Bounds(),
    ),
    rules=(plus_one(),),
    fixed={"hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "tie_word_embeddings": True},
    scalings=("default", "linear"),
    head_dim=256,
    tied=True,
)

ARCHITECTURES = (GEMMA3, GEMMA2, GEMMA)
