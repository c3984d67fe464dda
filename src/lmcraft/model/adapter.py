"""Adapters in PEFT's format, merged as their base model opens: LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write, write_json
from lmcraft.model.quantized_matrix import quantize_groups, quantize_rows
from lmcraft.model.storage import Checkpoint

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
MAGNITUDE = ".lora_magnitude_vector"
HEAD = "score.weight"  # of a classifier, which a language model has not
BASE_WEIGHTS = "lmcraft_base_weights"  # our own key of the configuration: "int8" or "int4", what the base was trained as
# What PEFT can do with LoRA and we do not; each is off where its key is missing.
UNSUPPORTED = (
    "lora_bias",
    "use_qalora",
    "megatron_config",
    "trainable_token_indices",
    "alora_invocation_tokens",
)


@dataclass(frozen=True)
class Adapter:
    """W + scale * B A for some of a base model's matrices W, and whole new tensors for others (PEFT's modules_to_save).

    Of DoRA each row of that sum has the length that the adapter says.
    """

    folder: Path
    config: Mapping[str, Any]
    """The contents of adapter_config.json."""
    tensors: Mapping[str, Tensor]
    """Under PEFT's names, without its prefix."""

    @property
    def base(self) -> str:
        """The address of the base model."""
        return str(self.config.get("base_model_name_or_path") or "")

    def scale(self, module: str) -> float:
        """alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732), of a module by its name."""
        rank = _by_name(self.config.get("rank_pattern"), module, self.config.get("r"))
        alpha = _by_name(self.config.get("alpha_pattern"), module, self.config.get("lora_alpha"))
        return float(alpha / (sqrt(rank) if self.config.get("use_rslora") else rank))

    @property
    def modules(self) -> list[str]:
        """The base model's layers that are changed by a low-rank matrix."""
        return sorted(name.partition(".lora_A")[0] for name in self.tensors if ".lora_A" in name)

    @property
    def whole(self) -> list[str]:
        """The base model's tensors that are replaced."""
        return sorted(name for name in self.tensors if ".lora_" not in name and name != HEAD)

    def low_rank(self, module: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """A (r, in), B (out, r) and, of DoRA, the rows' lengths (out,)."""
        lengths = self.tensors.get(module + MAGNITUDE)
        return self.tensors[f"{module}.lora_A.weight"], self.tensors[f"{module}.lora_B.weight"], lengths

    def merge_into(self, checkpoint: Checkpoint) -> Checkpoint:
        """The base model's checkpoint with the adapter applied to each tensor as it is read.

        Raises:
            UserError: the adapter changes a tensor that the base model does not have.
        """
        changed = {f"{module}.weight" for module in self.modules} | set(self.whole)
        if strange := sorted(changed - checkpoint.names):
            raise UserError(
                f"the adapter '{self.folder}' changes '{strange[0]}', which its base model '{checkpoint.source}' lacks: "
                "name the right base in base_model_name_or_path of adapter_config.json"
            )

        def read(name: str) -> Tensor:
            if name in self.tensors:
                return self.tensors[name]
            weight = checkpoint.read(name)
            return self._changed(name.removesuffix(".weight"), weight) if name in changed else weight

        return replace(checkpoint, read=read)

    def _changed(self, module: str, weight: Tensor) -> Tensor:
        low_in, low_out, lengths = self.low_rank(module)
        change = self.scale(module) * (low_out.float() @ low_in.float())
        transposed = bool(self.config.get("fan_in_fan_out"))
        change = change.t() if transposed else change
        if change.shape != weight.shape:
            raise UserError(
                f"the adapter '{self.folder}' changes '{module}' by a matrix of {tuple(change.shape)}, but the base model's "
                f"is {tuple(weight.shape)}: they are not of one model"
            )
        sum_ = self._as_trained(weight.float(), transposed=transposed) + change
        if lengths is not None:
            rows = 1 if transposed else 0
            shape = (1, -1) if transposed else (-1, 1)
            sum_ *= lengths.float().view(shape) / sum_.norm(dim=1 - rows, keepdim=True)
        return sum_.to(weight.dtype)

    def _as_trained(self, weight: Tensor, *, transposed: bool) -> Tensor:
        """The base model's matrix in the few bits that the adapter was trained beside."""
        bits = self.config.get(BASE_WEIGHTS)
        if bits is None:
            return weight
        rows = weight.t().contiguous() if transposed else weight
        dense = (quantize_rows(rows) if bits == "int8" else quantize_groups(rows)).dequantize()
        return dense.t() if transposed else dense


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder.

    Raises:
        UserError: it is damaged, its weights are pickled, or it is of a kind that we cannot merge.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise UserError(f"'{folder}' has no {WEIGHTS} (pickled weights are never loaded): save the adapter with PEFT again")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(config.get("peft_type"))
        with safe_open(file, framework="pt") as weights:
            tensors = {name.removeprefix(PREFIX): weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    except (ValueError, AttributeError, SafetensorError, OSError) as error:
        raise UserError(f"the adapter '{folder}' cannot be read ({error}): fetch or save it again") from error
    used = next((key for key in UNSUPPORTED if config.get(key)), None)
    if kind != "LORA" or used or config.get("bias", "none") != "none" or any("lora_embedding" in name for name in tensors):
        what = kind if kind != "LORA" else used or "bias, or LoRA of embeddings"
        raise UserError(
            f"the adapter '{folder}' has {what}, which is not supported here: merge it with PEFT's merge_and_unload"
        )
    if config.get("use_dora") and not any(name.endswith(MAGNITUDE) for name in tensors):
        raise UserError(f"the adapter '{folder}' says use_dora and has no lora_magnitude_vector: fetch or save it again")
    return Adapter(folder, config, tensors)


def save_adapter(adapter: Adapter, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write an adapter's folder, which PEFT opens; `dtype` None keeps its tensors' type."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, dict(adapter.config))
    tensors = {PREFIX + name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in adapter.tensors.items()}
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)


def _by_name(values: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first name that the module's ends in. (PEFT takes regular expressions, which may never end.)"""
    names = (name for name in values or {} if f".{module}".endswith(f".{name.removeprefix('^')}"))
    return (values or {}).get(next(names, ""), default)
