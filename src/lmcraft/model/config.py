"""What a Transformer is made of. Names are Hugging Face's where it has one; `families/` translates the rest."""

from dataclasses import dataclass
from typing import Literal

from lmcraft.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The network. A size of 0 is filled in by the depth rule (`lmcraft.train.dial`) before the model is built."""

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

    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    """LayerNorm (arXiv 1607.06450) or RMSNorm (arXiv 1910.07467), before each sub-layer and at the end."""
    norm_eps: float = 1e-6
    """Added to the variance before the square root."""
    position: Literal["learned", "rotary"] = "rotary"
    """A learned vector per position (GPT-2), or rotation of queries and keys (RoPE, arXiv 2104.09864)."""
    rope_theta: float = 10000.0
    """Base of the rotary wavelengths."""
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu", "relu2"] = "swiglu"
    """GELU (exact or by tanh), SwiGLU (arXiv 2002.05202) or squared ReLU (arXiv 2109.08668)."""
    qk_norm: bool = True
    """RMSNorm of each query and key head (arXiv 2302.05442)."""
    attention_bias: bool = False
    """Biases in the attention projections."""
    mlp_bias: bool = False
    """Biases in the feed-forward projections."""
    tie_word_embeddings: bool = True
    """The output projection is the embedding matrix (arXiv 1608.05859)."""

    embedding_dropout: float = 0.0
    """Share of the embedding's outputs dropped in training."""
    attention_dropout: float = 0.0
    """Share of the attention weights dropped in training."""
    residual_dropout: float = 0.0
    """Share of each sub-layer's output dropped in training, before it joins the residual stream."""

    def check(self) -> None:
        """Raise UserError unless a model can be built of this."""
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
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"model.num_key_value_heads={self.num_key_value_heads} must divide "
                f"model.num_attention_heads={self.num_attention_heads}: change one of them"
            )
        if self.position == "rotary" and self.head_dim % 2:
            raise UserError(f"model.head_dim={self.head_dim} must be even for rotary positions: choose an even number")
        for name in ("embedding_dropout", "attention_dropout", "residual_dropout"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise UserError(f"model.{name}={share} must be at least 0 and less than 1: it is a share")


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """How weights start; the formulas are in `lmcraft.model.init`."""

    scheme: Literal["gpt2", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"] = "gpt2"
    """Distribution of the blocks' matrices."""
    std: float = 0.02
    """Standard deviation of the embeddings, and of every matrix under gpt2."""
    zero_output_projections: bool = True
    """Start the projections into the residual stream at zero, so that each block starts as the identity."""
