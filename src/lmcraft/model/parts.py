"""Settings of parts that most models lack, each a group of fields in `TransformerConfig`.

Names are Hugging Face's where one exists.

Shapes of recurrent state: C channels of a convolution, W its width, H heads, D head width, N width of the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lmcraft.config import automatic
from lmcraft.errors import UserError

StateShape = tuple[int, ...]
LayerType = Literal[
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "linear_attention",
    "mamba",
    "conv",
    "hybrid",
    "feed_forward",
]
Activation = Literal[
    "gelu",
    "gelu_tanh",
    "relu",
    "relu2",
    "silu",
    "xielu",
    "swiglu",
    "clamped_swiglu",
    "geglu",
    "geglu_tanh",
    "reglu",
    "relu2_glu",
]
ATTENTION_LAYERS = ("full_attention", "sliding_attention", "chunked_attention", "hybrid")


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (MLA, DeepSeek-V2, arXiv 2405.04434, section 2.1), if kv_lora_rank is set.

    The cache keeps one compressed vector per token.
    """

    kv_lora_rank: Annotated[int, automatic("ordinary attention")] = 0
    """Width of the compressed keys and values."""
    q_lora_rank: Annotated[int, automatic("queries are not compressed")] = 0
    """Width of the compressed queries."""
    qk_nope_head_dim: int = 0
    """Width of the part of queries and keys without positions."""
    qk_rope_head_dim: int = 0
    """Width of the rotated part, whose keys all heads share."""
    v_head_dim: int = 0
    """Width of the values of a head."""
    rope_interleave: bool = True
    """In checkpoints, the two coordinates of a rotary angle are neighbors; what the model computes is the same."""

    def check(self, num_heads: int, num_kv_heads: int, head_dim: int) -> None:
        """Raise UserError unless the sizes fit each other and the model's heads."""
        for name, value in vars(self).items():
            if name != "rope_interleave" and value < (0 if name == "q_lora_rank" else 1):
                raise UserError(f"model.latent_attention.{name}={value} must be at least 1: set it")
        if head_dim != self.qk_nope_head_dim + self.qk_rope_head_dim:
            raise UserError(
                f"model.head_dim={head_dim} must be model.latent_attention.qk_nope_head_dim + qk_rope_head_dim, "
                f"{self.qk_nope_head_dim + self.qk_rope_head_dim}: set it"
            )
        if num_kv_heads != num_heads:
            raise UserError(
                f"model.num_key_value_heads={num_kv_heads} must be model.num_attention_heads={num_heads} with latent "
                "attention: set it"
            )


@dataclass(frozen=True, kw_only=True)
class GatedDelta:
    """Gated delta-rule linear attention (Gated DeltaNet, arXiv 2412.06464) of layers of type linear_attention."""

    linear_num_key_heads: int = 0
    """Heads of queries and keys."""
    linear_num_value_heads: int = 0
    """Heads of values; a multiple of the key heads."""
    linear_key_head_dim: int = 0
    """Width of a head's queries and keys."""
    linear_value_head_dim: int = 0
    """Width of a head's values."""
    linear_conv_kernel_dim: int = 4
    """Width of the causal convolution before the recurrence, in tokens."""

    def check(self) -> None:
        """Raise UserError unless a mixer can be built from these sizes."""
        _check_positive("gated_delta", vars(self))
        _check_divides("gated_delta", vars(self), "linear_num_key_heads", "linear_num_value_heads")

    def state_shapes(self) -> tuple[StateShape, ...]:
        """The last inputs of the convolution, (C, W - 1), and the state matrices, (H, key width, value width)."""
        keys = self.linear_num_key_heads * self.linear_key_head_dim
        values = self.linear_num_value_heads * self.linear_value_head_dim
        state = (self.linear_num_value_heads, self.linear_key_head_dim, self.linear_value_head_dim)
        return (2 * keys + values, self.linear_conv_kernel_dim - 1), state


@dataclass(frozen=True, kw_only=True)
class Mamba:
    """State-space mixers of layers of type mamba and hybrid: Mamba-2 (arXiv 2405.21060), or Mamba (arXiv 2312.00752)."""

    num_heads: int = 0
    """Heads."""
    head_dim: int = 0
    """Width of a head."""
    state_size: int = 0
    """Width of the state of each channel."""
    n_groups: int = 1
    """Groups of heads that share their input and output projections of the state."""
    conv_kernel: int = 4
    """Width of the causal convolution before the recurrence, in tokens."""
    use_conv_bias: bool = True
    """Bias of the convolution."""
    use_bias: bool = False
    """Bias of the input projection."""
    use_output_bias: bool = False
    """Bias of the output projection."""
    norm: Literal["after_gate", "before_gate", "none"] = "after_gate"
    """The output is normalized after it is multiplied by its gate, before, or not at all."""
    chunk_size: int = 256
    """Tokens that training and prefill compute together, of which lmcraft takes at most 64; it changes rounding only."""
    time_step_rank: Annotated[int, automatic("Mamba-2")] = 0
    """Mamba: width that time steps are projected from; each channel is a head."""
    part_norm: Literal["none", "rmsnorm", "unweighted"] = "none"
    """Mamba: norms of time steps and of the input and output projections of the state (Jamba, Falcon Mamba)."""
    part_norm_eps: float = 1e-6
    """Mamba: added to the variance in these norms."""
    time_step_min: float = 0.0
    """Lower limit of the time steps."""
    time_step_max: Annotated[float, automatic("no limit")] = 0.0
    """Upper limit of the time steps."""
    input_multiplier: float = 1.0
    """The input of the mixer is multiplied by this (Falcon-H1)."""
    output_multiplier: float = 1.0
    """The output of the mixer is multiplied by this (Falcon-H1)."""
    part_multipliers: tuple[float, ...] = ()
    """Gate, x, b, c and time steps, before their bias, are multiplied by these five (Falcon-H1); empty: by 1."""

    def check(self) -> None:
        """Raise UserError unless a mixer can be built from these sizes."""
        _check_positive("mamba", {name: value for name, value in vars(self).items() if name != "time_step_rank"})
        if self.time_step_rank < 0 or (self.time_step_rank and self.head_dim * self.n_groups != 1):
            raise UserError(
                f"model.mamba.time_step_rank={self.time_step_rank} needs heads of width 1 and one group, and must not be "
                "negative; 0 is Mamba-2"
            )
        _check_divides("mamba", vars(self), "n_groups", "num_heads")
        if len(self.part_multipliers) not in (0, 5):
            raise UserError(f"model.mamba.part_multipliers has {len(self.part_multipliers)} numbers; give five, or none")
        if not 0 <= self.time_step_min <= (self.time_step_max or self.time_step_min):
            raise UserError(
                f"model.mamba.time_step_min={self.time_step_min} must be at least 0 and at most "
                f"model.mamba.time_step_max={self.time_step_max}; change one of them"
            )

    def state_shapes(self) -> tuple[StateShape, ...]:
        """The last inputs of the convolution, (C, W - 1), and the state, (H, D, N)."""
        directions = 0 if self.time_step_rank else 2 * self.n_groups * self.state_size
        channels = self.num_heads * self.head_dim + directions
        return (channels, self.conv_kernel - 1), (self.num_heads, self.head_dim, self.state_size)


@dataclass(frozen=True, kw_only=True)
class ShortConv:
    """Gated short convolution (LFM2, arXiv 2511.23404) of layers of type conv."""

    kernel: int = 3
    """Width of the convolution, in tokens."""
    bias: bool = False
    """Biases of the convolution and of both projections."""

    def check(self) -> None:
        """Raise UserError unless a mixer can be built from these sizes."""
        _check_positive("short_conv", vars(self))

    def state_shapes(self, width: int) -> tuple[StateShape, ...]:
        """The last inputs of the convolution, (C, W - 1)."""
        return ((width, self.kernel - 1),)


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How a mixture of experts chooses the experts of a token and weighs them, from the router's logits."""

    scores: Literal["softmax", "topk_softmax", "sigmoid", "sparsemixer"] = "softmax"
    """softmax: over all experts; topk_softmax: over the chosen ones (GPT-OSS, Granite); sigmoid: of each expert
    (DeepSeek-V3, arXiv 2412.19437, eq. 12 to 15); sparsemixer: of two experts, each among those with close logits
    (Phi-3.5-MoE, arXiv 2409.12136)."""
    bias: bool = False
    """Bias of the router's projection."""
    correction_bias: bool = False
    """A bias of each expert that counts for the choice, not for the weights (arXiv 2408.15664, eq. 3)."""
    n_group: int = 1
    """Groups of experts; only experts of the best groups are chosen (DeepSeek-V2, arXiv 2405.04434, section 2.2.2)."""
    topk_group: int = 1
    """Groups that a token's experts are chosen from."""
    group_score: Literal["max", "top2"] = "top2"
    """Score of a group: that of its best expert, or the sum of its two best."""
    scaling_factor: float = 1.0
    """Multiplies the weights of the chosen experts."""
    in_float32: bool = False
    """Compute the router's projection in float32, whatever the activations' data type."""
    scale_inputs: bool = False
    """Multiply an expert's input by its weight, instead of its output (Llama 4)."""
    jitter_eps: float = 0.01
    """sparsemixer: experts whose logits are lower than the best by more than twice this share do not count."""

    def check(self, num_experts: int, top_k: int, expert_size: int) -> None:
        """Raise UserError unless `top_k` of `num_experts` experts can be chosen, and these have a size."""
        if not 1 <= top_k <= num_experts:
            raise UserError(
                f"model.num_experts_per_tok={top_k} must be from 1 to model.num_experts={num_experts}; change one of them"
            )
        if expert_size < 1:
            raise UserError(f"model.moe_intermediate_size={expert_size} must be at least 1; set it")
        if self.n_group < 1 or num_experts % self.n_group:
            raise UserError(
                f"model.router.n_group={self.n_group} does not divide model.num_experts={num_experts}; change one of them"
            )
        size = num_experts // self.n_group
        if not 1 <= self.topk_group <= self.n_group:
            raise UserError(
                f"model.router.topk_group={self.topk_group} must be from 1 to model.router.n_group={self.n_group}; "
                "change one of them"
            )
        if top_k > size * self.topk_group:
            raise UserError(
                f"model.num_experts_per_tok={top_k} is more than the {size * self.topk_group} experts of "
                f"model.router.topk_group={self.topk_group} groups; choose fewer experts or more groups"
            )
        if self.n_group > 1 and self.group_score == "top2" and size < 2:
            raise UserError("model.router.group_score='top2' requires groups of two experts; use 'max'")
        if self.scores == "sparsemixer" and top_k != 2:
            raise UserError(f"model.num_experts_per_tok={top_k} must be 2 with model.router.scores='sparsemixer'; set it")


@dataclass(frozen=True, kw_only=True)
class SharedExpert:
    """An expert that every token uses besides those of the router, if intermediate_size is set (DeepSeekMoE, 2401.06066)."""

    intermediate_size: Annotated[int, automatic("no shared expert")] = 0
    """Its inner width; several shared experts are one of their total width."""
    gate: bool = False
    """Multiply its output by the sigmoid of a projection of its input (Qwen)."""

    def check(self) -> None:
        """Raise UserError if the width is negative."""
        if self.intermediate_size < 0:
            raise UserError(
                f"model.shared_expert.intermediate_size={self.intermediate_size} must not be negative; 0 is no shared expert"
            )


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """Constants that activations are multiplied by (Granite, Cohere; muP, arXiv 2203.03466)."""

    embedding: float = 1.0
    """The embeddings."""
    residual: float = 1.0
    """Each sub-layer's output, before the residual addition."""
    attention: Annotated[float, automatic("1 / sqrt(--model.head-dim)")] = 0.0
    """The attention scores."""
    logits: float = 1.0
    """The logits, before soft-capping."""
    attention_input: float = 1.0
    """The input of attention (Falcon-H1)."""
    attention_output: float = 1.0
    """The output of attention (Falcon-H1)."""
    keys: float = 1.0
    """The keys (Falcon-H1)."""
    gate: float = 1.0
    """The gate of a feed-forward layer, before its activation (Falcon-H1)."""
    down: float = 1.0
    """The output of a feed-forward layer (Falcon-H1)."""


@dataclass(frozen=True, kw_only=True)
class QueryScaling:
    """Multiplies the query at position p by 1 + beta log(1 + floor((p + offset) / length)) (Llama 4, Ministral 3).

    If some layers have no rotary positions, this holds for those layers only.
    """

    beta: float = 0.0
    """0: off."""
    length: int = 8192
    """Up to this many tokens, nothing changes."""
    offset: int = 0
    """Number of the first position."""


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Scaling of rotary positions to sequences longer than in training; the formulas are in `lmcraft.model.rotary`.

    Names are Hugging Face's. Fields that the type does not use keep their defaults.
    """

    rope_type: Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope", "proportional"] = "default"
    """default: none; linear: all wavelengths by `factor` (arXiv 2306.15595); dynamic: none up to the maximum length, or a
    larger base (Hunyuan's `alpha`); llama3: long wavelengths only (Llama 3.1);
    yarn: YaRN (arXiv 2309.00071); longrope: a factor per wavelength (LongRoPE, arXiv 2402.13753);
    proportional: only the shortest wavelengths rotate, divided by `factor` (Gemma 4)."""
    factor: float = 0.0
    """New length / original length."""
    original_max_position_embeddings: int = 0
    """Original length, in tokens."""
    alpha: float = 0.0
    """dynamic: the base is multiplied by this to the power of d / (d - 2), d being the rotated width; 0: not."""
    low_freq_factor: float = 1.0
    """llama3: wavelengths above original length / this are scaled fully."""
    high_freq_factor: float = 4.0
    """llama3: wavelengths below original length / this are not scaled."""
    beta_fast: float = 32.0
    """yarn: dimensions with more rotations than this over the original length are not scaled."""
    beta_slow: float = 1.0
    """yarn: dimensions with fewer rotations than this are scaled fully."""
    truncate: bool = True
    """yarn: round those two limits to whole dimensions."""
    attention_factor: Annotated[float, automatic("set by --model.rope-scaling.rope-type")] = 0.0
    """yarn, longrope: multiplier of queries and keys."""
    mscale: float = 0.0
    """yarn: with mscale_all_dim, the numerator of the attention factor."""
    mscale_all_dim: float = 0.0
    """yarn: the denominator of the attention factor."""
    proportion: float = 1.0
    """proportional: share of the wavelengths that rotate."""
    short_factor: tuple[float, ...] = ()
    """longrope: factor per wavelength, for sequences up to the original length."""
    long_factor: tuple[float, ...] = ()
    """longrope: factor per wavelength, for longer sequences."""

    def check(self, num_wavelengths: int) -> None:
        """Raise UserError unless the settings of the type are there; `num_wavelengths` is half the rotated width."""
        if self.rope_type != "default" and self.factor < 1:
            raise UserError(
                f"model.rope_scaling.factor={self.factor} must be at least 1; it is new length / original length"
            )
        if not 0 < self.proportion <= 1:
            raise UserError(f"model.rope_scaling.proportion={self.proportion} must be more than 0 and at most 1")
        free = ("default", "linear", "dynamic", "proportional")
        if self.rope_type not in free and self.original_max_position_embeddings < 2:
            raise UserError(
                f"model.rope_scaling.original_max_position_embeddings={self.original_max_position_embeddings} must be at "
                "least 2; it is the sequence length before scaling"
            )
        if self.rope_type == "yarn" and min(self.beta_fast, self.beta_slow) <= 0:
            name = "beta_fast" if self.beta_fast <= 0 else "beta_slow"
            raise UserError(f"model.rope_scaling.{name}={getattr(self, name)} must be more than 0; 32 and 1 are usual")
        for name in ("short_factor", "long_factor"):
            if self.rope_type == "longrope" and len(getattr(self, name)) != num_wavelengths:
                raise UserError(
                    f"model.rope_scaling.{name} has {len(getattr(self, name))} factors; give one for each of the "
                    f"{num_wavelengths} wavelengths"
                )


def check_mixers(layer_types: tuple[LayerType, ...], delta: GatedDelta, mamba: Mamba, conv: ShortConv) -> None:
    """Raise UserError unless the settings of each kind of recurrent layer that there is fit each other."""
    mixers: dict[str, GatedDelta | Mamba | ShortConv] = {
        "linear_attention": delta,
        "mamba": mamba,
        "hybrid": mamba,
        "conv": conv,
    }
    for kind in set(layer_types) & mixers.keys():
        mixers[kind].check()


def _check_positive(group: str, sizes: Mapping[str, Any]) -> None:
    for name, value in sizes.items():
        if type(value) is int and value < 1:
            raise UserError(f"model.{group}.{name}={value} must be at least 1: set it")


def _check_divides(group: str, sizes: Mapping[str, Any], part: str, whole: str) -> None:
    if sizes[whole] % sizes[part]:
        raise UserError(
            f"model.{group}.{part}={sizes[part]} does not divide model.{group}.{whole}={sizes[whole]}; change one of them"
        )
