"""Model configuration. Field names are Hugging Face's where one exists; `families/` translates the rest."""

from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

from lmcraft.config import BY_DEPTH, automatic, format_changes
from lmcraft.errors import UserError
from lmcraft.model.parts import (
    ATTENTION_LAYERS,
    Activation,
    GatedDelta,
    LatentAttention,
    LayerType,
    Mamba,
    Multipliers,
    QueryScaling,
    RopeScaling,
    Routing,
    SharedExpert,
    ShortConv,
    StateShape,
    check_mixers,
)
from lmcraft.model.setting_checks import check_types
from lmcraft.model.uneven_layers import FullLayers, KeySharing, PerLayerEmbedding

MIN_ATTENTION_SCALAR = 1e-6


@dataclass(frozen=True, kw_only=True, repr=False)
class TransformerConfig:
    """The network. Sizes left at 0 are set by the depth rule (`lmcraft.training.depth_rule`) before the model is built."""

    family: str = ""
    """Hugging Face model type to save as, if it can express this configuration; empty: the first family that can."""
    vocab_size: Annotated[int, automatic("the tokenizer's")] = 0
    """Vocabulary size."""
    max_position_embeddings: Annotated[int, automatic("--sequence-length")] = 0
    """Maximum sequence length, in tokens."""
    hidden_size: Annotated[int, BY_DEPTH] = 0
    """Width of the residual stream."""
    num_hidden_layers: Annotated[int, BY_DEPTH] = 0
    """Number of blocks."""
    num_attention_heads: Annotated[int, BY_DEPTH] = 0
    """Query heads."""
    num_key_value_heads: Annotated[int, BY_DEPTH] = 0
    """Key-value heads; must divide the query heads (grouped-query attention, arXiv 2305.13245)."""
    head_dim: Annotated[int, BY_DEPTH] = 0
    """Width of one head."""
    intermediate_size: Annotated[int, BY_DEPTH] = 0
    """Inner width of the feed-forward layer."""

    norm: Literal["layernorm", "layernorm1p", "rmsnorm", "gemma_rmsnorm"] = "rmsnorm"
    """LayerNorm (arXiv 1607.06450), RMSNorm (arXiv 1910.07467), or those of Nemotron and Gemma, which store weight - 1."""
    norm_weight: bool = True
    """Weights of the norms; without them, norms have no parameters (OLMo, arXiv 2402.00838)."""
    norm_bias: bool = True
    """Biases of LayerNorm."""
    norm_placement: Literal["before", "after", "both", "sum"] = "before"
    """Where each sub-layer is normalized: its input, its output (before the residual addition), both, or the sum of its
    output and the residual stream (arXiv 1706.03762)."""
    shared_norm: bool = False
    """With parallel_residual: both sub-layers read the same normed input."""
    final_norm: bool = True
    """A norm after the last block."""
    first_norm: bool = True
    """A norm before the mixer of the first block; ModernBERT, whose embeddings are normed, has none."""
    embedding_norm: bool = False
    """A norm of the embeddings (BLOOM, arXiv 2211.05100)."""
    sub_norm: bool = False
    """An RMSNorm of the inputs of the output and down projections (BitNet, arXiv 2310.11453)."""
    norm_eps: float = 1e-6
    """Added to the variance before the square root."""
    position: Literal["learned", "rotary", "alibi", "none"] = "rotary"
    """Learned position embeddings (GPT-2), rotary ones (RoPE, arXiv 2104.09864), or biases that grow with distance (ALiBi,
    arXiv 2108.12409)."""
    position_offset: int = 0
    """Learned positions begin at this row of their table (OPT)."""
    token_types: int = 0
    """Rows of a table of token types, the first of which is added to every embedding (BERT, arXiv 1810.04805); 0: none."""
    bidirectional: bool = False
    """Tokens attend to later ones too: an encoder, which makes embeddings and labels, and writes no text."""
    rope_theta: float = 10000.0
    """Base of the rotary wavelengths."""
    rope_scaling: RopeScaling = RopeScaling()
    """Scaling of rotary positions to longer sequences."""
    partial_rotary_factor: float = 1.0
    """Share of each head that is rotated; the remainder carries no position."""
    sliding_window: Annotated[int, automatic("full attention")] = 0
    """Window of sliding layers, in tokens, including the token itself (arXiv 2004.05150)."""
    layer_types: tuple[LayerType, ...] = ()
    """Type of each layer; empty: all layers slide if sliding_window is set. hybrid: attention and mamba side by side;
    feed_forward: no mixer, with single_sublayer."""
    single_sublayer: bool = False
    """Each block has one sub-layer, a mixer or a feed-forward layer, instead of both (Mamba-2, Nemotron-H)."""
    attention_chunk_size: int = 0
    """Layers of type chunked_attention attend within chunks of so many tokens (Llama 4)."""
    no_rope_layers: tuple[int, ...] = ()
    """Layers without rotary positions (NoPE, arXiv 2305.19466), from 0."""
    query_scaling: QueryScaling = QueryScaling()
    """Queries that grow with their position."""
    multipliers: Multipliers = Multipliers()
    """Constants that activations are multiplied by."""
    latent_attention: LatentAttention = LatentAttention()
    """Multi-head latent attention in place of ordinary attention."""
    full_layers: FullLayers = FullLayers()
    """Attention of layers of type full_attention, where it differs."""
    key_sharing: KeySharing = KeySharing()
    """Layers that attend to the keys and values of an earlier one."""
    per_layer_embedding: PerLayerEmbedding = PerLayerEmbedding()
    """A second embedding of the tokens for each layer."""
    layer_scale: bool = False
    """A constant of each block, which its output is multiplied by."""
    gated_delta: GatedDelta = GatedDelta()
    """Layers of type linear_attention."""
    mamba: Mamba = Mamba()
    """Layers of type mamba and hybrid."""
    short_conv: ShortConv = ShortConv()
    """Layers of type conv."""
    rope_local_theta: Annotated[float, automatic("--model.rope-theta")] = 0.0
    """Base of the rotary wavelengths in sliding layers, without scaling."""
    feed_forward: Activation = "swiglu"
    """Activation: GELU (exact or tanh), ReLU, squared ReLU (arXiv 2109.08668), SiLU, xIELU (arXiv 2411.13010), or one of
    these with a gate (arXiv 2002.05202), also of clamped inputs (GPT-OSS)."""
    swiglu_limit: float = 7.0
    """Bound of the inputs of a clamped SwiGLU."""
    parallel_residual: bool = False
    """Compute attention and feed-forward from the same input and add both outputs (GPT-J, GPT-NeoX)."""
    qk_norm: bool = True
    """RMSNorm of queries and keys (arXiv 2302.05442)."""
    qk_norm_over: Literal["head", "each_head", "projection"] = "head"
    """QK norm over each head, with the same weights for all heads or with weights of its own, or over all heads of a token
    together (OLMo 2)."""
    qk_norm_kind: Literal["rmsnorm", "layernorm", "unweighted"] = "rmsnorm"
    """QK norm by RMSNorm (Gemma's if `norm` is), by LayerNorm, or by RMSNorm without weights."""
    qk_norm_after_rotary: bool = False
    """QK norm of rotated queries and keys."""
    value_norm: bool = False
    """RMSNorm of the values of each head, without weights."""
    attention_sinks: bool = False
    """A learned score per head that takes part in the softmax, but has no value (gpt-oss, arXiv 2508.10925)."""
    attn_logit_softcapping: float = 0.0
    """Attention scores s become c tanh(s / c) (Gemma 2, arXiv 2408.00118, section 2.1); 0: off."""
    final_logit_softcapping: float = 0.0
    """The same for the logits."""
    clip_qkv: float = 0.0
    """Queries, keys and values are clipped to plus or minus this (OLMo, MPT); 0: off."""
    query_pre_attn_scalar: Annotated[float, automatic("--model.head-dim")] = 0.0
    """Attention scores are divided by the square root of this."""
    attention_bias: Literal["none", "qkv", "output", "all"] = "none"
    """Biases of the attention projections: none, queries/keys/values only, output only, or all."""
    attention_gate: bool = False
    """Multiply the heads' outputs by the sigmoid of a projection of the input (arXiv 2505.06708, Qwen3-Next)."""
    mlp_bias: bool = False
    """Biases of the feed-forward projections."""
    tie_word_embeddings: bool = True
    """Use the embedding matrix as the output projection (arXiv 1608.05859)."""
    head_bias: bool = False
    """A bias of the output projection."""
    scale_embeddings: bool = False
    """Multiply the embeddings by sqrt(hidden_size) (arXiv 1706.03762, section 3.4)."""

    num_experts: Annotated[int, automatic("dense layers")] = 0
    """Number of experts (mixture of experts, arXiv 1701.06538)."""
    num_experts_per_tok: int = 0
    """Experts per token."""
    experts_beside_dense: bool = False
    """Experts beside the dense layer, both with norms of their own (Gemma 4)."""
    moe_intermediate_size: int = 0
    """Inner width of an expert."""
    norm_topk_prob: bool = True
    """Normalize the weights of the chosen experts to sum to one."""
    mlp_only_layers: tuple[int, ...] = ()
    """Layers that stay dense."""
    router: Routing = Routing()
    """How experts are chosen and weighed."""
    shared_expert: SharedExpert = SharedExpert()
    """Expert of all tokens, in layers with experts."""

    embedding_dropout: float = 0.0
    """Dropout of the embeddings, in training."""
    attention_dropout: float = 0.0
    """Dropout of the attention weights, in training."""
    residual_dropout: float = 0.0
    """Dropout of each sub-layer's output before the residual addition, in training."""

    def __repr__(self) -> str:
        return format_changes(self)

    def check(self) -> None:
        """Raise UserError unless a model can be built from this configuration."""
        check_types(self)
        sizes = (
            "vocab_size",
            "max_position_embeddings",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "head_dim",
        )
        for name in (*sizes, "num_attention_heads", "num_key_value_heads"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"model.{name}={value} must be at least 1: set it")
        for name in ("attn_logit_softcapping", "final_logit_softcapping", "clip_qkv", "position_offset", "token_types"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"model.{name}={value} must not be negative; 0 turns it off")
        if self.query_pre_attn_scalar and self.query_pre_attn_scalar < MIN_ATTENTION_SCALAR:
            raise UserError(
                f"model.query_pre_attn_scalar={self.query_pre_attn_scalar} must be at least {MIN_ATTENTION_SCALAR}; "
                "0 takes the head width"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"model.num_key_value_heads={self.num_key_value_heads} does not divide "
                f"model.num_attention_heads={self.num_attention_heads}; change one of them"
            )
        if self.latent_attention.kv_lora_rank:
            self.latent_attention.check(self.num_attention_heads, self.num_key_value_heads, self.head_dim)
        if self.position == "rotary":
            self._check_rotary()
        self._check_layers()
        self.full_layers.check(self.num_attention_heads, self.rope_local_theta)
        self.per_layer_embedding.check(self.vocab_size)
        if self.num_experts:
            self.router.check(self.num_experts, self.num_experts_per_tok, self.moe_intermediate_size)
            self.shared_expert.check()
        if not 0 <= self.norm_eps < inf:
            raise UserError(f"model.norm_eps={self.norm_eps} must be a number of at least 0; 1e-6 is usual")
        for name in ("embedding_dropout", "attention_dropout", "residual_dropout"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise UserError(f"model.{name}={share} is not a probability; it must be at least 0 and less than 1")

    def _check_layers(self) -> None:
        if self.sliding_window < 0:
            raise UserError(f"model.sliding_window={self.sliding_window} must not be negative; use 0 for full attention")
        if self.layer_types and len(self.layer_types) != self.num_hidden_layers:
            raise UserError(
                f"model.layer_types has {len(self.layer_types)} entries, but model.num_hidden_layers="
                f"{self.num_hidden_layers}; give one per layer"
            )
        if "chunked_attention" in self.layer_types and self.attention_chunk_size < 1:
            raise UserError("model.layer_types has chunked layers, but model.attention_chunk_size=0; set it")
        if self.shared_norm and not (self.parallel_residual and self.norm_placement in ("before", "both")):
            raise UserError(
                "model.shared_norm=True needs model.parallel_residual=True and norms before the sub-layers; set them"
            )
        if "sliding_attention" in self.layer_types and not self.sliding_window:
            raise UserError("model.layer_types has sliding layers, but model.sliding_window=0; set it")
        if "feed_forward" in self.layer_types and not self.single_sublayer:
            raise UserError("model.layer_types has layers of type feed_forward, but model.single_sublayer=False; set it")
        self.key_sharing.check([self.layer_type(layer) for layer in range(self.num_hidden_layers)])
        check_mixers(self.layer_types, self.gated_delta, self.mamba, self.short_conv)

    def _check_rotary(self) -> None:
        if not 0 < self.partial_rotary_factor <= 1:
            raise UserError(
                f"model.partial_rotary_factor={self.partial_rotary_factor} is invalid; it must be more than 0 and at most 1"
            )
        if self.rotary_dim < 2 or self.rotary_dim % 2:
            raise UserError(
                f"model.head_dim={self.head_dim} is not suitable for rotary positions: its rotated part, {self.rotary_dim}, "
                "must be even; choose an even number"
            )
        if self.rope_theta <= 0 or self.rope_local_theta < 0:
            raise UserError(f"model.rope_theta={self.rope_theta} must be more than 0; 10000 is usual")
        if self.rope_scaling.rope_type == "yarn" and self.rope_theta <= 1:
            raise UserError(f"model.rope_theta={self.rope_theta} must be more than 1 with yarn; 10000 is usual")
        self.rope_scaling.check(self.full_rotary_dim // 2)

    @property
    def rotary_dim(self) -> int:
        """Number of rotated dimensions of a head."""
        return self.latent_attention.qk_rope_head_dim or int(self.head_dim * self.partial_rotary_factor)

    @property
    def full_rotary_dim(self) -> int:
        """As `rotary_dim`, in layers with the base `rope_theta`."""
        return int(self.full_layers.head_dim * self.partial_rotary_factor) or self.rotary_dim

    def layer_type(self, layer: int) -> LayerType:
        """The type of a layer, also without `layer_types`."""
        if self.layer_types:
            return self.layer_types[layer]
        return "sliding_attention" if self.sliding_window else "full_attention"

    def is_sliding(self, layer: int) -> bool:
        """Whether a layer attends to the last `sliding_window` tokens only."""
        return self.layer_type(layer) == "sliding_attention"

    def first_key(self, layer: int, position: int) -> int:
        """The first token that a token at `position` attends to, in a sliding, chunked or full layer."""
        match self.layer_type(layer):
            case "sliding_attention":
                return max(0, position + 1 - self.sliding_window)
            case "chunked_attention":
                return position - position % self.attention_chunk_size
        return 0

    @property
    def embedding_scale(self) -> float:
        """What embeddings are multiplied by."""
        return self.multipliers.embedding * (self.hidden_size**0.5 if self.scale_embeddings else 1.0)

    @property
    def attention_scale(self) -> float:
        """What attention scores are multiplied by."""
        return self.multipliers.attention or (self.query_pre_attn_scalar or self.head_dim) ** -0.5

    def has_attention(self, layer: int) -> bool:
        """Whether a layer attends to other tokens, so that the cache keeps something of each."""
        return self.layer_type(layer) in ATTENTION_LAYERS

    def head_size(self, layer: int) -> int:
        """Width of a head of a layer."""
        return self._own_sizes(layer).head_dim or self.head_dim

    def num_kv_heads(self, layer: int) -> int:
        """Key-value heads of a layer."""
        return self._own_sizes(layer).num_key_value_heads or self.num_key_value_heads

    def uses_keys_as_values(self, layer: int) -> bool:
        """Whether the values of a layer are its keys, before their norm and rotation."""
        return self._own_sizes(layer).keys_as_values

    def _own_sizes(self, layer: int) -> FullLayers:
        return self.full_layers if self.layer_type(layer) == "full_attention" else FullLayers()

    def shares_keys(self, layer: int) -> bool:
        """Whether a layer attends to the keys and values of an earlier one."""
        return layer >= self.num_hidden_layers - self.key_sharing.num_layers

    def key_layer(self, layer: int) -> int:
        """The layer whose keys and values a layer attends to."""
        return self.key_sharing.key_layer([self.layer_type(n) for n in range(self.num_hidden_layers)], layer)

    def feed_forward_size(self, layer: int) -> int:
        """Inner width of a layer's dense feed-forward part."""
        return self.intermediate_size * (2 if self.key_sharing.wide_feed_forward and self.shares_keys(layer) else 1)

    def has_rotary(self, layer: int) -> bool:
        """Whether a layer's queries and keys are rotated by their positions."""
        return self.position == "rotary" and self.has_attention(layer) and layer not in self.no_rope_layers

    def has_feed_forward(self, layer: int) -> bool:
        """Whether a layer has a feed-forward part."""
        return not self.single_sublayer or self.layer_type(layer) == "feed_forward"

    def cache_shape(self, layer: int) -> tuple[int, int, int] | None:
        """What the cache keeps of each token: heads, width of a key, width of a value; None without attention."""
        if not self.has_attention(layer) or self.shares_keys(layer):
            return None
        if latent := self.latent_attention.kv_lora_rank:
            return 1, latent + self.latent_attention.qk_rope_head_dim, 0
        return self.num_kv_heads(layer), self.head_size(layer), self.head_size(layer)

    def state_shapes(self, layer: int) -> tuple[StateShape, ...]:
        """Shapes of a layer's recurrent state, of one sequence; empty if it has none."""
        match self.layer_type(layer):
            case "linear_attention":
                return self.gated_delta.state_shapes()
            case "mamba" | "hybrid":
                return self.mamba.state_shapes()
            case "conv":
                return self.short_conv.state_shapes(self.hidden_size)
        return ()

    @property
    def depends_on_positions(self) -> bool:
        """Whether rotary attention depends on more than distances, so that positions restart with each document."""
        return self.qk_norm and self.qk_norm_after_rotary and self.qk_norm_kind != "unweighted"

    @property
    def is_recurrent(self) -> bool:
        """Whether any layer has a recurrent state, which cannot be cut back to an earlier token."""
        return any(self.state_shapes(layer) for layer in range(self.num_hidden_layers))

    def has_experts(self, layer: int) -> bool:
        """Whether a layer's feed-forward part is a mixture of experts."""
        return self.num_experts > 0 and layer not in self.mlp_only_layers and self.has_feed_forward(layer)

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.feed_forward in ("swiglu", "clamped_swiglu", "geglu", "geglu_tanh", "reglu", "relu2_glu")


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """Weight initialization; the formulas are in `lmcraft.model.initialization`."""

    scheme: Literal["gpt2", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"] = "gpt2"
    """Distribution of the blocks' matrices."""
    std: float = 0.02
    """Standard deviation of the embeddings, and of all matrices with gpt2."""
    zero_output_projections: bool = True
    """Initialize the projections into the residual stream to zero, so that each block starts as the identity."""
