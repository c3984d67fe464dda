"""Writes a model with 8 or 4 bits per weight, calibrated on a text, and measures the loss in quality on the same text."""

from dataclasses import asdict

import torch
from torch import Tensor

from lmcraft.conversion.config import MIN_SEQUENCES, TOKENS_PER_SEQUENCE, QuantizeConfig
from lmcraft.conversion.quantization import QualityLoss, measure_quality_loss, quantize_model, quantize_vocabulary
from lmcraft.data.pipes import find_contents
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, replace_output, write_json
from lmcraft.folder.output import MODEL, check_apart
from lmcraft.gguf.architectures import architecture_for
from lmcraft.inference.engine import Engine
from lmcraft.inference.pooling import copy_pooling
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import file_origin, write_lineage
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_for
from lmcraft.model_source import ModelSource, open_model
from lmcraft.terminal import progress_bar
from lmcraft.tokenizer.tokenizer import Tokenizer

MAX_CHARACTERS_PER_TOKEN = 16  # of the text that is read


def write_quantized(config: QuantizeConfig) -> QualityLoss:
    """Write the quantized folder with its loss in quality in `lmcraft/quantization.json`, and return the loss.

    Raises:
        UserError: there is no such model or text, the text is too short, the model's matrices do not fit the format, or
            `out` exists.
        RunError: the model's outputs are not numbers.
    """
    with (
        replace_output(
            config.out,
            MODEL,
            overwrite=config.overwrite,
            inputs=[("model", config.model)],
            sources=[("text", config.text)],
        ) as temporary,
        open_model(config.model) as source,
    ):
        check_apart(config.out, source.inputs)
        before = LanguageModel.of(source, dtype=torch.float32)
        _check_layout(before.transformer.config)
        context = before.transformer.config.max_position_embeddings
        sequences_NT = _read_sequences(config, before.tokenizer, min(TOKENS_PER_SEQUENCE, context - 1))
        before.compute_logits(sequences_NT[0].tolist())  # a damaged model is found before its matrices are inverted
        half = len(sequences_NT) // 2
        after = LanguageModel.of(source, dtype=torch.float32)
        for parameter in after.transformer.parameters():  # both models share one memory map
            parameter.data = parameter.data.clone()
        with progress_bar("quantizing") as report:
            quantize_model(
                after.transformer,
                config.bits,
                sequences_NT[:half],
                calibrated=config.method == "gptq",
                average_bits=config.average_bits,
                shifted=config.layout == "lmcraft",
                report=report,
            )
        if config.layout == "lmcraft":
            quantize_vocabulary(after.transformer)
        with progress_bar("measuring") as report:
            quality = measure_quality_loss(
                Engine(before.transformer), Engine(after.transformer), sequences_NT[half:], report
            )
        dtype = source.checkpoint.dtype or LanguageModel.of(source).transformer.compute_dtype
        after.transformer.to(torch.bfloat16 if dtype == torch.float32 else dtype)
        after.save(temporary)
        copy_pooling(source.path, temporary)
        folder = ModelFolder(temporary)
        settings = {"bits": config.bits, "method": config.method if config.bits == 4 else "nearest"}
        write_json(folder.run / "quantization.json", {**settings, "text": str(config.text), **asdict(quality)})
        _write_lineage(folder, source, config)
    return quality


def _write_lineage(folder: ModelFolder, source: ModelSource, config: QuantizeConfig) -> None:
    parents = [source.origin("base")]
    data = [file_origin("calibration text", config.text, find_contents(config.text, "text"))]
    address, license, out = source.address, source.license, config.out
    write_lineage(folder, "quantize", parents=parents, data=data, source=address, license=license, out=out)


def _check_layout(config: TransformerConfig) -> None:
    """Raise UserError if the format of quantized folders does not support the family's tensors."""
    family = family_for(config)
    if family.transposes:
        raise UserError(
            f"models of type {config.family!r} store their matrices transposed, which the format of quantized folders does "
            f"not support: {_remedy(config)}"
        )
    if family.fused_experts(config):
        raise UserError(
            f"models of type {config.family!r} store the experts of a layer in one tensor, which the format of quantized "
            f"folders does not support: {_remedy(config)}"
        )


def _remedy(config: TransformerConfig) -> str:
    """How a model whose matrices do not fit the format gets smaller nevertheless."""
    try:
        architecture_for(family_for(config).write_config(config))
    except UserError:
        return "`lmcraft export --dtype bfloat16` writes the smallest folder of it"
    return "`lmcraft export --format gguf --dtype q4_k_m` writes a GGUF file in 4 bits"


def _read_sequences(config: QuantizeConfig, tokenizer: Tokenizer, length: int) -> Tensor:
    """The text's tokens in sequences of `length`, (N, T)."""
    try:
        text = find_contents(config.text, "text").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"text='{config.text}' cannot be read: {error}") from error
    ids = tokenizer.encode(text[: MAX_CHARACTERS_PER_TOKEN * config.tokens])[: config.tokens]
    count = len(ids) // length
    if count < MIN_SEQUENCES:
        raise UserError(f"text='{config.text}' has {len(ids)} tokens: give a text of at least {MIN_SEQUENCES * length}")
    return torch.tensor(ids[: count * length]).view(count, length)
