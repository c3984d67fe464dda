"""What a Transformer is made of. Names are Hugging Face's where it has one; `families/` translates the rest."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from lmcraft.errors import UserError

LARGEST = 2**28  # of any size; the product of two must not overflow
LayerType = Literal["full_attention", "sliding_attention"]


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How rotary positions reach beyond the length that they were trained on; the formulas are in `lmcraft.model.rotary`.

    Names are Hugging Face's. What the type does not use is left at its default.
    """

    rope_type: Literal["default", "linear", "llama3", "yarn", "longrope"] = "default"
    """No scaling; every wavelength by `factor` (arXiv 2306.15595); the long ones (Llama 3.1); YaRN (arXiv 2309.00071);
    each by its own factor (LongRoPE, arXiv 2402.13753)."""
    factor: float = 0.0
    """New length / old length."""
    original_max_position_embeddings: int = 0
    """The old length, in tokens."""
    low_freq_factor: float = 1.0
    """llama3: wavelengths above original length / this are scaled in full."""
    high_freq_factor: float = 4.0
    """llama3: wavelengths below original length / this are not scaled."""
    beta_fast: float = 32.0
    """yarn: dimensions that turn more often than this over the original length are not scaled."""
    beta_slow: float = 1.0
    """yarn: dimensions that turn less often than this are scaled in full."""
    truncate: bool = True
    """yarn: round those two limits to whole dimensions."""
    attention_factor: float = 0.0
    """yarn, longrope: multiplies queries and keys; 0: by the type's own rule."""
    mscale: float = 0.0
    """yarn: with mscale_all_dim, the numerator of the attention factor."""
    mscale_all_dim: float = 0.0
    """yarn: its denominator."""
    short_factor: tuple[float, ...] = ()
    """longrope: factor of each wavelength for sequences up to the original length."""
    long_factor: tuple[float, ...] = ()
    """longrope: for longer ones."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The network. A size of 0 is filled in by the depth rule (`lmcraft.training.depth_rule`) before the model is built."""

    family: str = ""
    """Hugging Face's model type to save as, if it can say all of the rest; empty: the first that can."""
    vocab_size: int = 0
    """Number of token ids; 0 takes the tokenizer's."""
    max_position_embeddings: int = 0
    """Longest sequence, in tokens."""
    hidden_size: int = 0
    """Width of the residual stream."""
    num_hidden_layers: int = 0
    """Number of blocks."""
    num_attention_heads: int = 0
    """Query heads."""
    num_key_value_heads: int = 0
    """Key and value heads, a divisor of the query heads (grouped-query attention, arXiv 2305.13245)."""
    head_dim: int = 0
    """Width of one head."""
    intermediate_size: int = 0
    """Inner width of the feed-forward layer."""

    norm: Literal["layernorm", "rmsnorm", "gemma_rmsnorm"] = "rmsnorm"
    """LayerNorm (arXiv 1607.06450), RMSNorm (arXiv 1910.07467), or RMSNorm with weights kept as their distance from 1."""
    norm_placement: Literal["before", "after", "both"] = "before"
    """Where a sub-layer is normed: its input, its output before that joins the residual stream, or both."""
    norm_eps: float = 1e-6
    """Added to the variance before the square root."""
    position: Literal["learned", "rotary"] = "rotary"
    """A learned vector per position (GPT-2), or rotation of queries and keys (RoPE, arXiv 2104.09864)."""
    rope_theta: float = 10000.0
    """Base of the rotary wavelengths."""
    rope_scaling: RopeScaling = RopeScaling()
    """For sequences longer than the positions were trained on."""
    partial_rotary_factor: float = 1.0
    """Share of each head that is rotated; the rest carries no position."""
    sliding_window: int = 0
    """How many tokens, its own included, a position sees in a sliding layer (arXiv 2004.05150); 0: all."""
    layer_types: tuple[LayerType, ...] = ()
    """Which layers slide; empty: all of them, if there is a sliding_window."""
    rope_local_theta: float = 0.0
    """Base of the rotary wavelengths in sliding layers, which are then not scaled; 0: as in the others."""
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu", "geglu_tanh", "relu2"] = "swiglu"
    """GELU (exact or by tanh), SwiGLU or GEGLU by tanh (arXiv 2002.05202), or squared ReLU (arXiv 2109.08668)."""
    parallel_residual: bool = False
    """Attention and feed-forward layer both read the block's input, and their outputs are added to it together."""
    qk_norm: bool = True
    """RMSNorm of queries and keys (arXiv 2302.05442)."""
    qk_norm_over: Literal["head", "projection"] = "head"
    """What that norm spans: each head by itself, or all heads of a token together (OLMo 2)."""
    query_pre_attn_scalar: float = 0.0
    """Attention scores are divided by its square root; 0: head_dim."""
    attention_bias: Literal["none", "qkv", "all"] = "none"
    """Biases in the attention projections: none, those of queries, keys and values, or the output's too."""
    mlp_bias: bool = False
    """Biases in the feed-forward projections."""
    tie_word_embeddings: bool = True
    """The output projection is the embedding matrix (arXiv 1608.05859)."""
    scale_embeddings: bool = False
    """Multiply the embeddings by sqrt(hidden_size) (arXiv 1706.03762, section 3.4)."""

    num_experts: int = 0
    """Feed-forward layers to choose from (mixture of experts, arXiv 1701.06538); 0: one, for every token."""
    num_experts_per_tok: int = 0
    """How many of them each token goes through."""
    moe_intermediate_size: int = 0
    """Inner width of an expert."""
    norm_topk_prob: bool = True
    """Make the chosen experts' shares sum to one."""
    mlp_only_layers: tuple[int, ...] = ()
    """Layers that have one feed-forward layer all the same."""

    embedding_dropout: float = 0.0
    """Share of the embedding's outputs dropped in training."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""
    residual_dropout: float = 0.0
    """Share of each sub-layer's output dropped in training, before it joins the residual stream."""

    def check(self) -> None:
        """Raise UserError unless a model can be built of this."""
        for part, prefix in ((self, "model."), (self.rope_scaling, "model.rope_scaling.")):
            for entry in fields(part):
                value = getattr(part, entry.name)
                if not _fits(value, entry.type):
                    raise UserError(f"{prefix}{entry.name}={value!r} does not fit: it must be of type {_name(entry.type)}")
        sizes = (
            "vocab_size",
            "max_position_embeddings",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "intermediate_size",
        )
        for name in sizes:
            if (value := getattr(self, name)) < 1:
                raise UserError(f"model.{name}={value} must be at least 1: set it, or choose a --depth")
            if value > LARGEST:
                raise UserError(f"model.{name}={value} must be at most {LARGEST}: no model is larger")
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"model.num_key_value_heads={self.num_key_value_heads} must divide "
                f"model.num_attention_heads={self.num_attention_heads}: change one of them"
            )
        if self.position == "rotary":
            self._check_rotary()
        if self.sliding_window < 0:
            raise UserError(f"model.sliding_window={self.sliding_window} must not be negative: 0 lets every layer see all")
        if self.layer_types and len(self.layer_types) != self.num_hidden_layers:
            raise UserError(
                f"model.layer_types names {len(self.layer_types)} layers, but model.num_hidden_layers="
                f"{self.num_hidden_layers}: give one for each"
            )
        if "sliding_attention" in self.layer_types and not self.sliding_window:
            raise UserError("model.layer_types has sliding layers, but model.sliding_window=0: set it")
        self._check_experts()
        for name in ("embedding_dropout", "attention_dropout", "residual_dropout"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise UserError(f"model.{name}={share} must be at least 0 and less than 1: it is a share")

    def _check_rotary(self) -> None:
        if not 0 < self.partial_rotary_factor <= 1:
            raise UserError(
                f"model.partial_rotary_factor={self.partial_rotary_factor} must be more than 0 and at most 1: it is a share"
            )
        if self.rotary_dim < 2 or self.rotary_dim % 2:
            raise UserError(
                f"model.head_dim={self.head_dim} must be even for rotary positions (and so must its rotated part, "
                f"{self.rotary_dim}): choose an even number"
            )
        if self.rope_theta <= 0 or self.rope_local_theta < 0:
            raise UserError(f"model.rope_theta={self.rope_theta} must be more than 0: 10000 is usual")
        scaling = self.rope_scaling
        if scaling.rope_type != "default" and scaling.factor < 1:
            raise UserError(f"model.rope_scaling.factor={scaling.factor} must be at least 1: it is new length / old length")
        if scaling.rope_type not in ("default", "linear") and scaling.original_max_position_embeddings < 2:
            raise UserError(
                f"model.rope_scaling.original_max_position_embeddings={scaling.original_max_position_embeddings} must be at "
                "least 2: it is the length that the positions were trained on"
            )
        for name in ("short_factor", "long_factor"):
            if scaling.rope_type == "longrope" and len(getattr(scaling, name)) != self.rotary_dim // 2:
                raise UserError(
                    f"model.rope_scaling.{name} has {len(getattr(scaling, name))} factors: give one for each of the "
                    f"{self.rotary_dim // 2} wavelengths"
                )

    def _check_experts(self) -> None:
        if not self.num_experts:
            return
        if not 1 <= self.num_experts_per_tok <= self.num_experts:
            raise UserError(
                f"model.num_experts_per_tok={self.num_experts_per_tok} must be from 1 to "
                f"model.num_experts={self.num_experts}: change one of them"
            )
        if self.moe_intermediate_size < 1:
            raise UserError(f"model.moe_intermediate_size={self.moe_intermediate_size} must be at least 1: set it")

    @property
    def rotary_dim(self) -> int:
        """How much of a head is rotated."""
        return int(self.head_dim * self.partial_rotary_factor)

    def is_sliding(self, layer: int) -> bool:
        """Whether a layer sees `sliding_window` tokens only."""
        return self.sliding_window > 0 and (not self.layer_types or self.layer_types[layer] == "sliding_attention")

    def has_experts(self, layer: int) -> bool:
        """Whether a layer's feed-forward part is a mixture of experts."""
        return self.num_experts > 0 and layer not in self.mlp_only_layers

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.feed_forward in ("swiglu", "geglu_tanh")


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """How weights start; the formulas are in `lmcraft.model.initialization`."""

    scheme: Literal["gpt2", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"] = "gpt2"
    """Distribution of the blocks' matrices."""
    std: float = 0.02
    """Standard deviation of the embeddings, and of every matrix under gpt2."""
    zero_output_projections: bool = True
    """Start the projections into the residual stream at zero, so that each block starts as the identity."""


def _fits(value: object, expected: Any) -> bool:
    """Whether a value, which may come from a stranger's config.json, is of a field's type."""
    if get_origin(expected) is Literal:
        return value in get_args(expected)
    if get_origin(expected) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(expected)[0]) for item in value)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def _name(expected: Any) -> str:
    return str(expected).removeprefix("typing.") if get_origin(expected) else str(expected.__name__)
