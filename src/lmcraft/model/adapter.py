"""Adapters in PEFT's format: read, save, and merge into the base model. LoRA (arXiv 2106.09685), DoRA (arXiv 2402.09353).

Shapes: I inputs and O outputs of a layer, r rank.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.model.quantized_matrix import quantize_groups, quantize_rows
from lmcraft.model.storage import Checkpoint
from lmcraft.model.tensor_file import save_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
MAGNITUDE = ".lora_magnitude_vector"
HEAD = "score.weight"  # a classifier's head, which is not part of the language model
BASE_WEIGHTS = "lmcraft_base_weights"  # our own config key: "int8" or "int4" if the base was quantized during training
# PEFT options for LoRA that are not supported; each is off if its key is missing.
UNSUPPORTED = (
    "lora_bias",
    "use_qalora",
    "megatron_config",
    "trainable_token_indices",
    "alora_invocation_tokens",
)


@dataclass(frozen=True)
class Adapter:
    """W + scale * B A for some of the base model's matrices W, and full replacements for others (PEFT's modules_to_save).

    With DoRA, each row of that sum is rescaled to the learned magnitude.
    """

    folder: Path
    config: Mapping[str, Any]
    """The contents of adapter_config.json."""
    tensors: Mapping[str, Tensor]
    """Tensors by PEFT's names, without its prefix."""

    @property
    def base(self) -> str:
        """The address of the base model."""
        return str(self.config.get("base_model_name_or_path") or "")

    def scale(self, module: str) -> float:
        """A module's scale: alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv 2312.03732)."""
        rank = _pattern_value(self.config.get("rank_pattern"), module, self.config.get("r"))
        alpha = _pattern_value(self.config.get("alpha_pattern"), module, self.config.get("lora_alpha"))
        return float(alpha / (sqrt(rank) if self.config.get("use_rslora") else rank))

    @property
    def modules(self) -> list[str]:
        """Names of the base model's layers that get a low-rank update."""
        return sorted(name.partition(".lora_A")[0] for name in self.tensors if ".lora_A" in name)

    @property
    def replaced_tensors(self) -> list[str]:
        """Names of the base model's tensors that are replaced in full."""
        return sorted(name for name in self.tensors if ".lora_" not in name and name != HEAD)

    def low_rank(self, module: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """A module's A (r, I), B (O, r) and, with DoRA, its magnitudes (O,)."""
        magnitude = self.tensors.get(module + MAGNITUDE)
        return self.tensors[f"{module}.lora_A.weight"], self.tensors[f"{module}.lora_B.weight"], magnitude

    def merge_into(self, checkpoint: Checkpoint) -> Checkpoint:
        """The base model's checkpoint, with the adapter applied to each tensor as it is read.

        Raises:
            UserError: the adapter changes a tensor that the base model does not have.
        """
        changed = {f"{module}.weight" for module in self.modules} | set(self.replaced_tensors)
        if missing := sorted(changed - checkpoint.names):
            raise UserError(
                f"the adapter '{self.folder}' changes '{missing[0]}', which its base model '{checkpoint.source}' does not "
                "have; set base_model_name_or_path in adapter_config.json to the right base model"
            )

        def read(name: str) -> Tensor:
            if name in self.tensors:
                return self.tensors[name]
            weight = checkpoint.read(name)
            return self._apply(name.removesuffix(".weight"), weight) if name in changed else weight

        return replace(checkpoint, read=read)

    def _apply(self, module: str, weight: Tensor) -> Tensor:
        lora_A, lora_B, magnitude = self.low_rank(module)
        change = self.scale(module) * (lora_B.float() @ lora_A.float())
        transposed = bool(self.config.get("fan_in_fan_out"))
        change = change.t() if transposed else change
        if change.shape != weight.shape:
            raise UserError(
                f"the adapter '{self.folder}' changes '{module}' by a matrix of shape {tuple(change.shape)}, but the base "
                f"model's is {tuple(weight.shape)}; the two do not belong together"
            )
        merged = self._quantize_as_trained(weight.float(), transposed=transposed) + change
        if magnitude is not None:
            rows = 1 if transposed else 0
            shape = (1, -1) if transposed else (-1, 1)
            merged *= magnitude.float().view(shape) / merged.norm(dim=1 - rows, keepdim=True)
        return merged.to(weight.dtype)

    def _quantize_as_trained(self, weight: Tensor, *, transposed: bool) -> Tensor:
        """The base model's matrix, rounded to the bits that the adapter was trained with."""
        bits = self.config.get(BASE_WEIGHTS)
        if bits is None:
            return weight
        rows = weight.t().contiguous() if transposed else weight
        dense = (quantize_rows(rows) if bits == "int8" else quantize_groups(rows)).dequantize()
        return dense.t() if transposed else dense


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter instead of a complete model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder.

    Raises:
        UserError: it is damaged, its weights are pickled, or its type is not supported.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise UserError(f"'{folder}' has no {WEIGHTS} (pickled weights are never loaded); save the adapter again with PEFT")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(config.get("peft_type"))
        with safe_open(file, framework="pt") as weights:
            tensors = {name.removeprefix(PREFIX): weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    except (ValueError, AttributeError, SafetensorError, OSError) as error:
        raise UserError(f"the adapter '{folder}' cannot be read ({error}); download or save it again") from error
    used = next((key for key in UNSUPPORTED if config.get(key)), None)
    if kind != "LORA" or used or config.get("bias", "none") != "none" or any("lora_embedding" in name for name in tensors):
        feature = kind if kind != "LORA" else used or "bias, or LoRA of embeddings"
        raise UserError(
            f"the adapter '{folder}' uses {feature}, which is not supported; merge it with PEFT's merge_and_unload"
        )
    if config.get("use_dora") and not any(name.endswith(MAGNITUDE) for name in tensors):
        raise UserError(f"the adapter '{folder}' sets use_dora but has no lora_magnitude_vector; download or save it again")
    return Adapter(folder, config, tensors)


def save_adapter(adapter: Adapter, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write an adapter folder that PEFT opens; `dtype` None keeps the tensors' type."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, dict(adapter.config))
    tensors = {PREFIX + name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in adapter.tensors.items()}
    save_tensors(tensors, folder / WEIGHTS)


def _pattern_value(values: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that the module's name ends with; not a regular expression, which could run forever."""
    names = (name for name in values or {} if f".{module}".endswith(f".{name.removeprefix('^')}"))
    return (values or {}).get(next(names, ""), default)
