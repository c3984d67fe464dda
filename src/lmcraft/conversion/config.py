"""The settings of `lmcraft export` and `lmcraft quantize`."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

from lmcraft.config import Config, automatic, command_config
from lmcraft.errors import UserError
from lmcraft.folder.names import is_gguf_name
from lmcraft.hub.model_argument import ModelArgument

TOKENS_PER_SEQUENCE = 256  # of calibration or evaluation text; fewer if the model's context is shorter
MIN_AVERAGE_BITS = 4.5  # 4 and a scale of 16 bits for 32 weights
GGUF_DTYPES = ("q8_0", "q6_k", "q5_k_m", "q4_k_m")
MIN_SEQUENCES = 4  # for calibration and evaluation together


@command_config
@dataclass(frozen=True)
class ExportConfig(Config):
    """Convert a model to another data type or format, load the result, and compare it with the original on a probe text.

    A PEFT adapter is merged into its base model.
    """

    model: ModelArgument
    """Model folder, GGUF file or address."""
    out: Path
    """Model folder to write, or a file for GGUF."""
    _: KW_ONLY
    format: Literal["auto", "hf", "gguf"] = "auto"
    """A Hugging Face folder, or a GGUF file for llama.cpp; auto: GGUF if --out ends in .gguf."""
    dtype: Literal["keep", "float32", "bfloat16", "float16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"] = "keep"
    """Data type of the weights. q8_0, q6_k, q5_k_m and q4_k_m (8.5, 6.6, 5.7 and 4.9 bits per weight) are only for GGUF, and
    rounded without calibration; q4_k_m is what most people run. keep leaves quantized matrices as they are in a folder; any
    other type dequantizes them."""
    max_shard_size: float = 5.0
    """Maximum size of a weight file, in gigabytes; larger models are split into several."""
    tolerance: Annotated[float, automatic("as much as rounding explains")] = 0.0
    """Largest allowed difference of the logits, relative to their spread."""
    keep_adapter: bool = False
    """When MODEL is an adapter: export only the adapter instead of merging it."""
    overwrite: bool = False
    """Replace --out if it exists."""

    def resolved(self) -> "ExportConfig":
        if self.dtype in GGUF_DTYPES and self.kind == "hf":
            raise UserError(f"dtype={self.dtype!r} is only for GGUF: choose float32, bfloat16 or float16, or --format gguf")
        if self.keep_adapter and self.kind == "gguf":
            raise UserError(
                "keep_adapter=true is not supported for GGUF: leave --keep-adapter out, or choose a folder for --out"
            )
        if not self.max_shard_size > 0:
            raise UserError(f"max_shard_size={self.max_shard_size:g} must be greater than 0 gigabytes")
        if self.tolerance < 0:
            raise UserError(f"tolerance={self.tolerance:g} must not be negative; 0 sets it by the data type")
        return self

    @property
    def kind(self) -> str:
        return ("gguf" if is_gguf_name(self.out.name) else "hf") if self.format == "auto" else self.format


@command_config
@dataclass(frozen=True)
class QuantizeConfig(Config):
    """Quantize a model to 8 or 4 bits per weight, and report the cost in quality on your own text.

    The first half of the text is for calibration (4 bits), the second half for evaluation: perplexity, KL divergence, and
    how often both models predict the same token.
    """

    model: ModelArgument
    """Model folder, GGUF file or address."""
    out: Path
    """Model folder to write."""
    text: Path
    """Text file that resembles what the model will read and write."""
    _: KW_ONLY
    bits: Literal[8, 4] = 8
    """Bits per weight; 8: one scale per row; 4: one scale per 32 weights of a row."""
    method: Literal["gptq", "nearest"] = "gptq"
    """Rounding to 4 bits: gptq compensates each rounding error in the following weights; nearest only rounds."""
    average_bits: float = 5.5
    """With gptq and 4 bits: bits per weight on average, scales included; the matrices that matter most get 8 bits, up to
    this average. 4.5 gives all of them 4 bits."""
    layout: Literal["compressed-tensors", "lmcraft"] = "compressed-tensors"
    """Layout of the folder. transformers and vLLM open compressed-tensors. lmcraft is smaller and nearer to the original: it
    has 8 bits for embeddings and output projection, and a shift beside the scale of each group of 4-bit weights."""
    tokens: int = 8192
    """Number of tokens to use, half for calibration and half for evaluation."""
    overwrite: bool = False
    """Replace --out if it exists."""

    def resolved(self) -> "QuantizeConfig":
        if self.tokens < MIN_SEQUENCES * TOKENS_PER_SEQUENCE:
            raise UserError(f"tokens={self.tokens} must be at least {MIN_SEQUENCES * TOKENS_PER_SEQUENCE}")
        if not self.average_bits >= MIN_AVERAGE_BITS:
            raise UserError(
                f"average_bits={self.average_bits:g} must be at least {MIN_AVERAGE_BITS}: 4 bits and half a bit of scale"
            )
        return self
