"""`lmcraft quantize`: 8 or 4 bits per weight, and the loss in quality measured."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, atomic_write, write_json, write_lineage
from lmcraft.terminal import progress_bar, refuse_existing

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.tokenizer.tokenizer import Tokenizer

TOKENS_PER_SEQUENCE = 256  # fewer if the model's context is shorter
MIN_SEQUENCES = 4  # for calibration and evaluation together
MAX_CHARACTERS_PER_TOKEN = 16  # of the text that is read


@command_config
@dataclass(frozen=True)
class QuantizeConfig(Config):
    """Quantize a model to 8 or 4 bits per weight, and report the cost in quality on your own text.

    The first half of the text is for calibration (4 bits), the second half for evaluation: perplexity, KL divergence, and
    how often both models predict the same token. Embeddings and output projection are not quantized.
    """

    model: str
    """Model folder, GGUF file or address."""
    out: Path
    """Model folder to write."""
    text: Path
    """Text file that resembles what the model will read and write."""
    bits: Literal[8, 4] = 8
    """Bits per weight; 8: one scale per row; 4: one scale per 32 weights of a row."""
    method: Literal["gptq", "nearest"] = "gptq"
    """Rounding to 4 bits: gptq compensates each rounding error in the following weights; nearest only rounds."""
    tokens: int = 8192
    """Number of tokens to use, half for calibration and half for evaluation."""
    overwrite: bool = False
    """Replace --out if it exists."""

    def resolved(self) -> "QuantizeConfig":
        if self.tokens < MIN_SEQUENCES * TOKENS_PER_SEQUENCE:
            raise UserError(f"tokens={self.tokens} must be at least {MIN_SEQUENCES * TOKENS_PER_SEQUENCE}")
        return self


def quantize(config: QuantizeConfig) -> ModelFolder:
    """Write the folder, print the loss in quality, and keep it in `lmcraft/quantization.json`.

    Raises:
        UserError: there is no such model or text, the text is too short, the model's matrices do not fit the format, or
            `out` exists.
    """
    import torch

    from lmcraft.inference.engine import Engine
    from lmcraft.inference.quantization import measure_quality_loss, quantize_model
    from lmcraft.language_model import LanguageModel
    from lmcraft.model.families import family_for
    from lmcraft.model_source import open_model

    config = config.resolved()
    refuse_existing(config.out, overwrite=config.overwrite)
    with open_model(config.model) as source:
        before = LanguageModel.of(source, dtype=torch.float32)
        if family_for(before.transformer.config).transposes:
            raise UserError(
                f"models of type {before.transformer.config.family!r} store their matrices transposed, which the format of "
                "quantized folders does not support: use --weights int8 of `lmcraft generate`, or export to GGUF"
            )
        context = before.transformer.config.max_position_embeddings
        sequences_NT = _read_sequences(config, before.tokenizer, min(TOKENS_PER_SEQUENCE, context - 1))
        half = len(sequences_NT) // 2
        after = LanguageModel.of(source, dtype=torch.float32)
        for parameter in after.transformer.parameters():  # both models share one memory map
            parameter.data = parameter.data.clone()
        with progress_bar("quantizing") as report:
            quantize_model(
                after.transformer, config.bits, sequences_NT[:half], calibrated=config.method == "gptq", report=report
            )
        with progress_bar("measuring") as report:
            quality = measure_quality_loss(
                Engine(before.transformer), Engine(after.transformer), sequences_NT[half:], report
            )
        dtype = source.checkpoint.dtype or LanguageModel.of(source).transformer.compute_dtype
        after.transformer.to(torch.bfloat16 if dtype == torch.float32 else dtype)
        with atomic_write(config.out) as temporary:
            after.save(temporary)
            folder = ModelFolder(temporary)
            write_lineage(folder, parent=source.fingerprint, source=source.address, license=source.license)
            settings = {"bits": config.bits, "method": config.method if config.bits == 4 else "nearest"}
            write_json(folder.run / "quantization.json", {**settings, "text": str(config.text), **asdict(quality)})
    print(
        f"perplexity {quality.perplexity_before:.2f} -> {quality.perplexity_after:.2f} "
        f"({quality.perplexity_after / quality.perplexity_before - 1:+.1%}), "
        f"KL divergence {quality.kl_divergence:.4f} nats per token, "
        f"same most likely token {quality.agreement:.1%} of {quality.tokens:,} times"
    )
    print(config.out)
    return ModelFolder(config.out)


def _read_sequences(config: QuantizeConfig, tokenizer: "Tokenizer", length: int) -> "Tensor":
    """The text's tokens in sequences of `length`, (N, T)."""
    import torch

    try:
        text = config.text.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"text='{config.text}' cannot be read: {error}") from error
    ids = tokenizer.encode(text[: MAX_CHARACTERS_PER_TOKEN * config.tokens])[: config.tokens]
    count = len(ids) // length
    if count < MIN_SEQUENCES:
        raise UserError(f"text='{config.text}' has {len(ids)} tokens: give a text of at least {MIN_SEQUENCES * length}")
    return torch.tensor(ids[: count * length]).view(count, length)
