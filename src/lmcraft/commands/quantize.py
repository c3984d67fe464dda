"""`lmcraft quantize`: fewer bits for a model's weights, and the price told in figures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, atomic_write, write_json, write_lineage

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.inference.quantization import ProgressCallback
    from lmcraft.tokenizer.tokenizer import Tokenizer

PIECE = 256  # tokens that are calibrated and measured together, fewer where the model's context is shorter


@command_config
@dataclass(frozen=True)
class QuantizeConfig(Config):
    """Write a model with 8 or 4 bits a weight, and say what that costs on a text of yours.

    The first half of the text calibrates (4 bits), the second half measures: perplexity, KL divergence, and how often both
    models would go on with the same token. Embeddings and output projection keep their type.
    """

    model: str
    """Model folder, GGUF file or address."""
    out: Path
    """Model folder to write."""
    text: Path
    """A text file like what the model will read and write."""
    bits: Literal[8, 4] = 8
    """8: a scale for each row; 4: a scale for each 32 weights of a row."""
    method: Literal["gptq", "nearest"] = "gptq"
    """How 4 bits are found: gptq makes up for each rounding error by the weights to come; nearest only rounds."""
    tokens: int = 8192
    """How many of the text's tokens are used, half to calibrate and half to measure."""
    overwrite: bool = False
    """Replace `out` where it exists."""

    def resolved(self) -> "QuantizeConfig":
        if self.tokens < 4 * PIECE:
            raise UserError(f"tokens={self.tokens} is too few to calibrate and measure on: give at least {4 * PIECE}")
        return self


def quantize(config: QuantizeConfig) -> ModelFolder:
    """Write the folder, print the price, and keep it in `lmcraft/quantization.json`.

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
    if config.out.exists() and not config.overwrite:
        raise UserError(f"out='{config.out}' already exists: add --overwrite to replace it, or choose another --out")
    with open_model(config.model) as source:
        before = LanguageModel.of(source, dtype=torch.float32)
        if family_for(before.transformer.config).transposes:
            raise UserError(
                f"models of type {before.transformer.config.family!r} keep their matrices the other way round, which the "
                "format of quantized folders cannot say: use --weights int8 of `lmcraft generate`, or export to GGUF"
            )
        context = before.transformer.config.max_position_embeddings
        pieces_NT = _pieces(config, before.tokenizer, min(PIECE, context - 1))
        half = len(pieces_NT) // 2
        after = LanguageModel.of(source, dtype=torch.float32)
        for parameter in after.transformer.parameters():  # the weights of both lie in one memory map
            parameter.data = parameter.data.clone()
        with _bar("quantizing") as report:
            quantize_model(
                after.transformer, config.bits, pieces_NT[:half], calibrated=config.method == "gptq", report=report
            )
        with _bar("measuring") as report:
            found = measure_quality_loss(Engine(before.transformer), Engine(after.transformer), pieces_NT[half:], report)
        dtype = source.checkpoint.dtype or LanguageModel.of(source).transformer.compute_dtype
        after.transformer.to(torch.bfloat16 if dtype == torch.float32 else dtype)
        with atomic_write(config.out) as temporary:
            after.save(temporary)
            folder = ModelFolder(temporary)
            write_lineage(folder, parent=source.fingerprint, source=source.address, license=source.license)
            settings = {"bits": config.bits, "method": config.method if config.bits == 4 else "nearest"}
            write_json(folder.run / "quantization.json", {**settings, "text": str(config.text), **asdict(found)})
    print(
        f"perplexity {found.perplexity_before:.2f} -> {found.perplexity_after:.2f} "
        f"({found.perplexity_after / found.perplexity_before - 1:+.1%}), "
        f"KL divergence {found.kl_divergence:.4f} nats a token, "
        f"the same likeliest token {found.agreement:.1%} of {found.tokens:,} times"
    )
    print(config.out)
    return ModelFolder(config.out)


def _pieces(config: QuantizeConfig, tokenizer: "Tokenizer", length: int) -> "Tensor":
    """The text's tokens in pieces of `length`."""
    import torch

    try:
        text = config.text.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"text='{config.text}' cannot be read: {error}") from error
    ids = tokenizer.encode(text[: 16 * config.tokens])[: config.tokens]
    count = len(ids) // length
    if count < 4:
        raise UserError(f"text='{config.text}' has {len(ids)} tokens: give a text of at least {4 * length}")
    return torch.tensor(ids[: count * length]).view(count, length)


@contextmanager
def _bar(what: str) -> "Iterator[ProgressCallback]":
    """Gives a function that shows how much is done, and the time left; shown when stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)
