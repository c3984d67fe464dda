"""Writes a model in another data type or format, and checks that the result computes the same."""

import shutil
from pathlib import Path

import torch

from lmcraft.conversion.config import GGUF_DTYPES, ExportConfig
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder, replace_output
from lmcraft.folder.layout import DOCUMENTS
from lmcraft.folder.output import GGUF, MODEL, check_apart
from lmcraft.gguf import Quantization, write_gguf
from lmcraft.inference.pooling import copy_pooling
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import write_lineage
from lmcraft.model.adapter import save_adapter
from lmcraft.model.families import family_for
from lmcraft.model.families.lmcraft import LMCRAFT
from lmcraft.model.storage import convert_weights
from lmcraft.model_source import ModelSource, open_model
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.tokenizer.loading import has_tokenizer

PROBE = (
    "The capital of France is Paris. In 2026, 7 x 8 = 56.\n\ndef read(path):\n    with open(path) as file:\n"
    "        return file.read()\n\n天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n"
)
CONVERSATION = ({"role": "user", "content": "Hello! 你好"}, {"role": "assistant", "content": "Hi."})
PROBE_TOKENS = 128
# Largest allowed difference of the logits, relative to their spread; rounding alone stays well below.
TOLERANCE = {
    "float32": 1e-4,
    "float16": 1e-2,
    "bfloat16": 6e-2,
    "q8_0": 1.5e-1,
    "q6_k": 2e-1,
    "q5_k_m": 4e-1,
    "q4_k_m": 8e-1,
}
GGUF_TYPES: dict[str, Quantization] = {
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "q8_0": "q8_0",
    "q6_k": "q6_k",
    "q5_k_m": "q5_k_m",
    "q4_k_m": "q4_k_m",
}


def export_model(config: ExportConfig) -> str:
    """Write `out` if the result passes the check, and return a summary of the differences.

    Raises:
        UserError: there is no such model, the format cannot express it, or `out` exists.
        RunError: the result differs from the original by more than the tolerance.
    """
    kind = GGUF if config.kind == "gguf" else MODEL
    with (
        replace_output(config.out, kind, overwrite=config.overwrite, inputs=[("model", config.model)]) as temporary,
        open_model(config.model) as source,
    ):
        check_apart(config.out, source.inputs, inside=kind.is_file)
        original = LanguageModel.of(source, dtype=torch.float32)
        ids = (original.tokenizer.encode(PROBE) or [0])[
            : min(PROBE_TOKENS, original.transformer.config.max_position_embeddings)
        ]
        expected, conversation = original.compute_outputs(ids), _render_conversation(original)
        chosen = getattr(torch, config.dtype) if config.dtype in ("float32", "bfloat16", "float16") else None
        model = LanguageModel.of(source, dtype=chosen)
        dequantized = source.checkpoint.read_quantized is not None and (chosen is not None or config.kind == "gguf")
        if chosen is not None:
            convert_weights(model.transformer, chosen)
        dtype = str(model.transformer.embed_tokens.weight.dtype).removeprefix("torch.")
        dtype = config.dtype if config.dtype in GGUF_DTYPES else dtype
        if config.keep_adapter:
            _write_adapter(source, temporary, None if config.dtype == "keep" else getattr(torch, config.dtype))
        elif config.kind == "gguf":
            _write_gguf(model, source, temporary, GGUF_TYPES[dtype])
        else:
            _write_folder(model, source, temporary, int(config.max_shard_size * 1e9))
        if config.kind != "gguf":
            _write_lineage(source, temporary, config.out)
        address = f"gguf:{temporary}" if config.kind == "gguf" else str(temporary)
        exported = LanguageModel.load(address, dtype=torch.float32)
        tolerance = config.tolerance or TOLERANCE[dtype]
        same_template = _render_conversation(exported) == conversation
        actual, is_encoder = _compute_outputs(exported, ids), exported.transformer.config.bidirectional
        summary = _check(expected, actual, tolerance, same_template=same_template, is_encoder=is_encoder)
        return f"dequantized the matrices to {dtype}\n{summary}" if dequantized else summary


def _compute_outputs(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """The logits, or an encoder's hidden states, also if they are not numbers."""
    transformer = model.transformer
    compute = transformer.hidden_states if transformer.config.bidirectional else transformer
    with torch.inference_mode():
        outputs: torch.Tensor = compute(torch.tensor([ids]))
    return outputs[0]


def _write_folder(model: LanguageModel, source: ModelSource, folder: Path, max_shard_size: int) -> None:
    model.save(folder, max_shard_size=max_shard_size)
    if source.path.is_dir():
        copy_pooling(source.path, folder)
        for pattern in DOCUMENTS:
            for file in source.path.glob(pattern):
                shutil.copy(file, folder)


def _write_adapter(source: ModelSource, folder: Path, dtype: torch.dtype | None) -> None:
    if source.adapter is None:
        raise UserError(f"'{source.path}' is not an adapter: leave --keep-adapter out")
    save_adapter(source.adapter, folder, dtype)
    if has_tokenizer(source.path):
        source.tokenizer.save(folder)


def _write_lineage(source: ModelSource, folder: Path, out: Path) -> None:
    parents, license = [source.origin("base")], source.license
    write_lineage(ModelFolder(folder), "export", parents=parents, source=source.address, license=license, out=out)
    if source.path.is_dir() and (guarantee := Guarantee.read(ModelFolder(source.path))):
        guarantee.write(ModelFolder(folder))  # it holds for whatever is computed from the weights alone


def _write_gguf(model: LanguageModel, source: ModelSource, file: Path, kind: Quantization) -> None:
    config = model.transformer.config
    family = family_for(config)
    if family is LMCRAFT:
        raise UserError("no Hugging Face family has this model's architecture, so GGUF cannot express it: use --format hf")
    tensors = family.to_hf(config, model.transformer.state_dict())
    write_gguf(
        file,
        family.write_config(config) | model.token_ids(),
        tensors.items(),
        model.tokenizer,
        kind,
        name=source.name,
        license=source.license,
    )


def _render_conversation(model: LanguageModel) -> str | None:
    if model.tokenizer.chat_template is None:
        return None
    return model.tokenizer.apply_chat_template(CONVERSATION)


def _check(expected: torch.Tensor, actual: torch.Tensor, tolerance: float, *, same_template: bool, is_encoder: bool) -> str:
    """Describe the difference between the export and the original.

    Args:
        expected: outputs of the original.
        actual: outputs of the export.
        tolerance: largest allowed difference, relative to the spread.
        same_template: whether both render a conversation alike.
        is_encoder: whether the outputs are hidden states instead of logits.

    Raises:
        RunError: it is larger than the tolerance, or the chat template renders a different text.
    """
    spread = (expected - expected.mean(dim=-1, keepdim=True)).norm()
    difference = float((actual - expected).norm() / (spread or 1.0))
    outputs = "hidden states" if is_encoder else "logits"
    result = f"{outputs} differ by {difference:.2g} of their spread (at most {tolerance:g} allowed)"
    if not is_encoder:
        agreement = float((actual.argmax(dim=-1) == expected.argmax(dim=-1)).double().mean())
        result += f", {agreement:.0%} of the most likely tokens agree"
    if not bool(actual.isfinite().all()):
        raise RunError(
            "the export computes values that are not numbers: choose a dtype that holds the model's, such as float32; "
            "nothing was written"
        )
    if not difference <= tolerance:
        raise RunError(f"the export differs from the original: {result}; nothing was written")
    if not same_template:
        raise RunError(
            "the export differs from the original: its chat template renders a different text; nothing was written"
        )
    return f"checked: {result}"
