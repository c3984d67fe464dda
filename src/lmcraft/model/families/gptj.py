"""GPT-J (Wang and Komatsuzaki 2021) and CodeGen (arXiv 2203.13474): sub-layers in parallel behind one LayerNorm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

from torch import Tensor

from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import entries
from lmcraft.model.families.family import Entry, Family, Field, Weight
from lmcraft.model.families.layouts import ROTARY_PAIRS, Grouped

CODEGEN_GROUPS = Grouped(lambda config: 4)  # processes that the model was trained with


@dataclass(frozen=True)
class RotaryWidth:
    """`rotary_dim`: how many dimensions of a head are rotated; null: all."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        head = read_so_far["hidden_size"] // read_so_far["num_attention_heads"]
        share = (hf_config.get("rotary_dim", 64) or head) / head
        return {"partial_rotary_factor": share if int(head * share) == round(head * share) else nextafter(share, inf)}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config["rotary_dim"] = config.rotary_dim


class CodeGenRows:
    """Queries, values and keys of a quarter of the heads, then of the next quarter; queries and keys in rotary pairs."""

    def join(self, parts: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        q, v, k = parts
        return CODEGEN_GROUPS.join([ROTARY_PAIRS.join([q], config), v, ROTARY_PAIRS.join([k], config)], config)

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> Sequence[Tensor]:
        q, v, k = CODEGEN_GROUPS.split(tensor, sizes, config)
        return [*ROTARY_PAIRS.split(q, sizes[:1], config), v, *ROTARY_PAIRS.split(k, sizes[2:], config)]


FIELDS: tuple[Entry, ...] = (
    *entries.gpt2_sizes(50400, 2048, 4096, 28, 16),
    Field("layer_norm_epsilon", "norm_eps", 1e-5),
    Field("activation_function", "feed_forward", "gelu_new", entries.UNGATED),
    RotaryWidth(),
    Field("tie_word_embeddings", "tie_word_embeddings", False, {False: False}),
    Field("embd_pdrop", "embedding_dropout", 0.0),
    Field("attn_pdrop", "attention_dropout", 0.0),
    Field("resid_pdrop", "residual_dropout", 0.0),
)
WEIGHTS = (
    Weight("transformer.wte.weight", ("embed_tokens.weight",)),
    *entries.norm_weights("transformer.h.{i}.ln_1", "layers.{i}.attention_norm"),
    Weight("transformer.h.{i}.attn.out_proj.weight", ("layers.{i}.attention.o_proj.weight",)),
    *entries.norm_weights("transformer.h.{i}.mlp.fc_in", "layers.{i}.feed_forward.up_proj"),
    *entries.norm_weights("transformer.h.{i}.mlp.fc_out", "layers.{i}.feed_forward.down_proj"),
    *entries.norm_weights("transformer.ln_f", "norm"),
    *entries.norm_weights("lm_head", "lm_head"),
)


def _implied(config: TransformerConfig) -> Mapping[str, Any]:
    return {
        **entries.equal_heads(config),
        "norm": "layernorm",
        "position": "rotary",
        "qk_norm": False,
        "parallel_residual": True,
        "shared_norm": True,
        "mlp_bias": True,
        "head_bias": True,
    }


GPTJ = Family(
    model_type="gptj",
    architecture="GPTJForCausalLM",
    fields=FIELDS,
    implied=_implied,
    weights=(
        *WEIGHTS,
        *(
            Weight(f"transformer.h.{{i}}.attn.{p}_proj.weight", (f"layers.{{i}}.attention.{p}_proj.weight",), layout=layout)
            for p, layout in {"q": ROTARY_PAIRS, "k": ROTARY_PAIRS}.items()
        ),
        Weight("transformer.h.{i}.attn.v_proj.weight", ("layers.{i}.attention.v_proj.weight",)),
    ),
    optional_prefix="transformer.",
)

CODEGEN = Family(
    model_type="codegen",
    architecture="CodeGenForCausalLM",
    fields=FIELDS,
    implied=_implied,
    weights=(
        *WEIGHTS,
        Weight(
            "transformer.h.{i}.attn.qkv_proj.weight",
            tuple(f"layers.{{i}}.attention.{p}_proj.weight" for p in "qvk"),
            layout=CodeGenRows(),
        ),
    ),
    optional_prefix="transformer.",
)
