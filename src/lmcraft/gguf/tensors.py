"""Translate tensors between Hugging Face's names and layouts and GGUF's.

Names come from the `gguf` package (`TensorNameMap`). Some tensors are rearranged, as in llama.cpp's converter.

Shapes: H heads, D head width, C model width, E experts.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architectures import Architecture
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.dependency import gguf_package
from lmcraft.gguf.mixtures import EMBEDDING, OUTPUT

Rearrange = Callable[[Tensor, Mapping[str, Any]], Tensor]
SUFFIXES = (".weight", ".bias")
_EXPERT = re.compile(r"(model\.layers\.[0-9]{1,9}\.mlp\.experts)\.([0-9]{1,9})\.(\w+\.weight)")
# Buffers in older checkpoints.
_IGNORED = re.compile(r".*(\.rotary_emb\.inv_freq|\.attn\.(masked_)?bias|\.attention\.(masked_)?bias)")


# Factors of rotary positions, which `rope` reads.
_ROPE = re.compile(r"rope_(freqs|factors_long|factors_short)\.weight")


@dataclass(frozen=True)
class Rearranged:
    """Tensors that llama.cpp's converter rearranges."""

    names: re.Pattern[str]
    """Pattern of Hugging Face names."""
    to_gguf: Rearrange
    to_hf: Rearrange


def _interleave(heads: str) -> Rearranged:
    """Llama in llama.cpp rotates neighboring coordinates, (H, D / 2, 2); Hugging Face rotates halves, (H, 2, D / 2)."""

    def swap(tensor: Tensor, config: Mapping[str, Any], *parts: int) -> Tensor:
        count = int(config.get(heads) or config["num_attention_heads"])
        if tensor.shape[0] % (2 * count):
            raise UserError(
                f"a projection of {tensor.shape[0]} rows does not have {count} heads of even width; it is damaged"
            )
        return tensor.reshape(count, *parts, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)

    letter = "q" if heads == "num_attention_heads" else "k"
    return Rearranged(
        re.compile(rf".*\.{letter}_proj\.(weight|bias)"),
        to_gguf=lambda tensor, config: swap(tensor, config, 2, -1),
        to_hf=lambda tensor, config: swap(tensor, config, -1, 2),
    )


def _regroup_rows(tensor: Tensor, first: int, second: int) -> Tensor:
    if tensor.shape[0] % (first * second):
        raise UserError(
            f"a projection of {tensor.shape[0]} rows is not queries, keys and values of equal heads; it is damaged"
        )
    return tensor.reshape(first, second, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


def _heads(config: Mapping[str, Any]) -> int:
    return int(config["num_attention_heads"])


REARRANGED = {
    "llama": (_interleave("num_attention_heads"), _interleave("num_key_value_heads")),
    "gemma3": (  # Hugging Face stores weight - 1
        Rearranged(re.compile(r".*norm\.weight"), lambda t, config: t.float() + 1, lambda t, config: t.float() - 1),
    ),
    "gptneox": (  # (H, 3, D) in Hugging Face, (3, H, D) in GGUF
        Rearranged(
            re.compile(r".*\.query_key_value\.(weight|bias)"),
            to_gguf=lambda t, config: _regroup_rows(t, _heads(config), 3),
            to_hf=lambda t, config: _regroup_rows(t, 3, _heads(config)),
        ),
    ),
    "gpt2": (  # (in, out) in Hugging Face
        Rearranged(re.compile(r".*\.(c_attn|c_proj|c_fc)\.weight"), lambda t, config: t.t(), lambda t, config: t.t()),
    ),
}


class TensorNames:
    """GGUF's names of a checkpoint's tensors."""

    def __init__(self, arch: Architecture, layers: int) -> None:
        package = gguf_package()
        number = next(number for number, name in package.MODEL_ARCH_NAMES.items() if name == arch.name)
        self._map = package.get_tensor_name_map(number, layers)

    def gguf(self, hf_name: str) -> tuple[str, int | None] | None:
        """GGUF's name, and the slice of that tensor (the expert) or None; None if GGUF has no such tensor."""
        part = None
        if match := _EXPERT.fullmatch(hf_name):
            hf_name, part = f"{match[1]}.{match[3]}", int(match[2])
        name = self._map.get_name(hf_name, try_suffixes=SUFFIXES)
        return None if name is None else (str(name), part)


class HFTensors:
    """A file's tensors under Hugging Face's names."""

    def __init__(self, file: GGUFFile, arch: Architecture, config: Mapping[str, Any]) -> None:
        self._file = file
        self._config = config
        self._layers = arch.layers
        self._names = TensorNames(arch, config[arch.layers])
        self._rearranged = REARRANGED.get(arch.name, ())

    def names(self, templates: Iterable[str]) -> frozenset[str]:
        """The names that the file has tensors for; in the templates, {i} is the layer and {e} the expert.

        A tensor that has none of these names appears under its own.
        """
        names, others = set(), {name for name in self._file.tensors if not _ROPE.fullmatch(name)}
        for template in templates:
            for layer in range(self._config[self._layers] if "{i}" in template else 1):
                for expert in range(self._config.get("num_experts", 0) if "{e}" in template else 1):
                    name = template.format(i=layer, e=expert)
                    if (target := self._names.gguf(name)) is not None and target[0] in self._file.tensors:
                        names.add(name)
                        others.discard(target[0])
        return frozenset(names | others)

    def read(self, hf_name: str) -> Tensor | None:
        """Read a tensor in Hugging Face's layout; None if the file has no tensor of this name.

        F32, F16 and BF16 keep their dtype (Gemma 3's norms are always float32) and may view the memory map; other types are
        dequantized to float32.

        Raises:
            UserError: its shape is invalid.
        """
        target = self._names.gguf(hf_name)
        if target is None or target[0] not in self._file.tensors:
            return None
        name, part = target
        entry = self._file.tensors[name]
        if len(entry.shape) != (2 if part is None else 3) and (part is not None or len(entry.shape) != 1):
            raise UserError(
                f"'{self._file.path}': the tensor '{name}' has the invalid shape {entry.shape}; the file is damaged"
            )
        tensor = self._file.tensor(name, part)
        for rearranged in self._rearranged:
            if rearranged.names.fullmatch(hf_name):
                tensor = rearranged.to_hf(tensor, self._config)
        return tensor


def is_tied(hf_config: Mapping[str, Any], arch: Architecture) -> bool:
    """Whether the output projection is the embedding."""
    tied = hf_config.get("tie_word_embeddings")
    return bool(arch.tied if tied is None else tied)


def to_gguf(
    tensors: Iterable[tuple[str, Tensor]], arch: Architecture, hf_config: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor]]:
    """Yield a checkpoint's tensors in GGUF's names and layout, with the experts of a layer stacked.

    Raises:
        UserError: a tensor has no name in GGUF, or an expert is missing.
    """
    names = TensorNames(arch, int(hf_config[arch.layers]))
    tied = is_tied(hf_config, arch)
    experts: dict[str, dict[int, Tensor]] = {}
    for hf_name, tensor in tensors:
        target = names.gguf(hf_name)
        if target is None and _IGNORED.fullmatch(hf_name):
            continue
        if target is None:
            raise UserError(f"the tensor '{hf_name}' has no name in GGUF's architecture {arch.name}; remove it")
        name, part = target
        if name == OUTPUT and tied:
            continue
        for rearranged in REARRANGED.get(arch.name, ()):
            if rearranged.names.fullmatch(hf_name):
                tensor = rearranged.to_gguf(tensor, hf_config)
        if part is not None:
            collected = experts.setdefault(name, {})
            collected[part] = tensor
            if len(collected) < int(hf_config.get("num_experts") or hf_config["num_local_experts"]):
                continue
            tensor = torch.stack([collected[number] for number in sorted(collected)])
            del experts[name]
        yield name, tensor
        if name == EMBEDDING and tied and arch.needs_output:
            yield OUTPUT, tensor
    if experts:
        raise UserError(f"the checkpoint lacks experts of '{next(iter(experts))}'; it is not a complete model")
