"""`lmcraft export`: write a model in another number type or format, and check that it is still the same model."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder, atomic_write, write_lineage

if TYPE_CHECKING:
    import torch

    from lmcraft.gguf import Quantization
    from lmcraft.language_model import LanguageModel
    from lmcraft.model_source import ModelSource

PROBE = (
    "The capital of France is Paris. In 2026, 7 x 8 = 56.\n\ndef read(path):\n    with open(path) as file:\n"
    "        return file.read()\n\n天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n"
)
CONVERSATION = ({"role": "user", "content": "Hello! 你好"}, {"role": "assistant", "content": "Hi."})
PROBE_TOKENS = 128
# How far the logits may be from the original's, as a share of their spread. A type's own rounding stays well below.
TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 6e-2, "q8_0": 1.5e-1}
GGUF_TYPES: dict[str, "Quantization"] = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "q8_0": "q8_0"}
CARD = ("README.md", "LICENSE*", "LICENSE*", "NOTICE*")


@command_config
@dataclass(frozen=True)
class ExportConfig(Config):
    """Write a model in another type or format, load it again, and compare it with the original on a probe text.

    A folder of a PEFT adapter is merged into its base model.
    """

    model: str
    """Model folder, GGUF file or address."""
    out: Path
    """Model folder to write, or a file for GGUF."""
    format: Literal["auto", "hf", "gguf"] = "auto"
    """Hugging Face's folder, or one GGUF file as llama.cpp reads it; auto: by whether `out` ends in .gguf."""
    dtype: Literal["keep", "float32", "bfloat16", "float16", "q8_0"] = "keep"
    """Type of the weights; q8_0 (8.5 bits a weight) is for GGUF alone."""
    max_shard_size: float = 5.0
    """Gigabytes; a larger folder is written in several files."""
    tolerance: float = 0.0
    """Most that the logits may differ, as a share of their spread; 0: what the type's rounding explains."""
    keep_adapter: bool = False
    """Of an adapter's folder: write the adapter alone, rather than merge it into its base model."""
    overwrite: bool = False
    """Replace `out` where it exists."""

    def resolved(self) -> "ExportConfig":
        if self.dtype == "q8_0" and self.kind == "hf":
            raise UserError("dtype='q8_0' is a type of GGUF: choose float32, bfloat16 or float16, or --format gguf")
        if self.keep_adapter and self.kind == "gguf":
            raise UserError(
                "keep_adapter=true is not for GGUF: leave --keep-adapter out to merge, or choose a folder for out"
            )
        if not self.max_shard_size > 0:
            raise UserError(f"max_shard_size={self.max_shard_size:g} must be more than 0: it is in gigabytes")
        if self.tolerance < 0:
            raise UserError(f"tolerance={self.tolerance:g} must not be negative: 0 leaves it to the type")
        return self

    @property
    def kind(self) -> str:
        return ("gguf" if self.out.suffix == ".gguf" else "hf") if self.format == "auto" else self.format


def export(config: ExportConfig) -> Path:
    """Write `out`, which is there only if it passed the check; prints what the check found.

    Raises:
        UserError: there is no such model, it cannot be said in that format, or `out` exists.
        RunError: what was written differs from the original by more than the tolerance.
    """
    import torch

    from lmcraft.language_model import LanguageModel
    from lmcraft.model_source import open_model

    config = config.resolved()
    if config.out.exists() and not config.overwrite:
        raise UserError(f"out='{config.out}' already exists: add --overwrite to replace it, or choose another name")
    with open_model(config.model) as source:
        original = LanguageModel.of(source, dtype=torch.float32)
        ids = (original.tokenizer.encode(PROBE) or [0])[
            : min(PROBE_TOKENS, original.transformer.config.max_position_embeddings)
        ]
        expected, conversation = _logits(original, ids), _conversation(original)
        model = LanguageModel.of(source)
        if config.dtype in ("float32", "bfloat16", "float16"):
            model.transformer.to(getattr(torch, config.dtype))
        dtype = str(model.transformer.embed_tokens.weight.dtype).removeprefix("torch.")
        dtype = "q8_0" if config.dtype == "q8_0" else dtype
        with atomic_write(config.out) as temporary:
            if config.keep_adapter:
                _write_adapter(source, temporary, None if config.dtype == "keep" else getattr(torch, config.dtype))
            elif config.kind == "gguf":
                _write_gguf(model, source, temporary, GGUF_TYPES[dtype])
            else:
                _write_folder(model, source, temporary, int(config.max_shard_size * 1e9))
            address = f"gguf:{temporary}" if config.kind == "gguf" else str(temporary)
            again = LanguageModel.load(address, dtype=torch.float32)
            tolerance = config.tolerance or TOLERANCE[dtype]
            _check(expected, _logits(again, ids), tolerance, same_template=_conversation(again) == conversation)
    print(config.out)
    return config.out


def _write_folder(model: "LanguageModel", source: "ModelSource", folder: Path, max_shard_size: int) -> None:
    model.save(folder, max_shard_size=max_shard_size)
    if source.path.is_dir():
        for pattern in CARD:
            for file in source.path.glob(pattern):
                shutil.copy(file, folder)
    write_lineage(ModelFolder(folder), parent=source.fingerprint, source=source.address, license=source.license)


def _write_adapter(source: "ModelSource", folder: Path, dtype: "torch.dtype | None") -> None:
    from lmcraft.model.adapter import save_adapter

    if source.adapter is None:
        raise UserError(f"'{source.path}' is not an adapter's folder: leave --keep-adapter out")
    save_adapter(source.adapter, folder, dtype)
    write_lineage(ModelFolder(folder), parent=source.fingerprint, source=source.address, license=source.license)


def _write_gguf(model: "LanguageModel", source: "ModelSource", file: Path, kind: "Quantization") -> None:
    from lmcraft.gguf import write_gguf
    from lmcraft.model.families import family_for
    from lmcraft.model.families.lmcraft import LMCRAFT

    config = model.transformer.config
    family = family_for(config)
    if family is LMCRAFT:
        raise UserError(
            "no Hugging Face family can say this model's architecture, so GGUF cannot either: export --format hf"
        )
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


def _logits(model: "LanguageModel", ids: list[int]) -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = model.transformer(torch.tensor([ids]))
    return logits[0]


def _conversation(model: "LanguageModel") -> str | None:
    if model.tokenizer.chat_template is None:
        return None
    return model.tokenizer.apply_chat_template(CONVERSATION)


def _check(expected: "torch.Tensor", found: "torch.Tensor", tolerance: float, *, same_template: bool) -> None:
    """Print how far the export is from the original.

    Raises:
        RunError: too far.
    """
    spread = (expected - expected.mean(dim=-1, keepdim=True)).norm()
    apart = float((found - expected).norm() / spread) if spread else float((found - expected).norm())
    same = float((found.argmax(dim=-1) == expected.argmax(dim=-1)).double().mean())
    said = f"logits differ by {apart:.2g} of their spread (at most {tolerance:g}), {same:.0%} of the likeliest tokens agree"
    if not apart <= tolerance:  # NaN too
        raise RunError(f"the export is not the same model: its {said}; nothing was written")
    if not same_template:
        raise RunError("the export is not the same model: its chat template renders another text; nothing was written")
    print(f"checked: {said}")
