"""Translate tensors between Hugging Face's names and layouts and GGUF's.

Names come from the `gguf` package (`TensorNameMap`). Some tensors are rearranged, as in llama.cpp's converter.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Rule, expert_count
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.dependency import gguf_package
from lmcraft.gguf.mixtures import EMBEDDING, OUTPUT

SUFFIXES = (".weight", ".bias")
_EXPERT = re.compile(r"(model\.layers\.[0-9]{1,9}\.\w+\.experts)\.([0-9]{1,9})\.(\w+\.weight)")
# Buffers in older checkpoints.
_IGNORED = re.compile(r".*(\.rotary_emb\.inv_freq|\.attn\.(masked_)?bias|\.attention\.(masked_)?bias)")


# Factors of rotary positions, which `rope` reads.
_ROPE = re.compile(r"rope_(freqs|factors_long|factors_short)\.weight")


@dataclass(frozen=True)
class Target:
    """Where a tensor of a checkpoint lies in a file."""

    names: tuple[str, ...]
    """Several: it is cut into these."""
    part: int | None = None
    """The slice of that tensor (the expert)."""
    rule: Rule | None = None


class TensorNames:
    """GGUF's names of a checkpoint's tensors."""

    def __init__(self, arch: Architecture, layers: int) -> None:
        package = gguf_package()
        number = next(number for number, name in package.MODEL_ARCH_NAMES.items() if name == arch.name)
        self._map = package.get_tensor_name_map(number, layers)
        self._rules = arch.rules

    def target(self, hf_name: str) -> Target | None:
        """None if GGUF has no such tensor."""
        rule, names = None, tuple[str, ...]()
        for candidate in self._rules:
            if match := candidate.names.fullmatch(hf_name):
                rule, names = candidate, candidate.targets(match)
                break
        part = None
        if match := _EXPERT.fullmatch(hf_name):
            hf_name, part = f"{match[1]}.{match[3]}", int(match[2])
        if not names:
            without_prefix = hf_name.partition(".")[2]  # as llama.cpp's converter names some
            in_gguf = (self._map.get_name(name, try_suffixes=SUFFIXES) for name in (hf_name, without_prefix))
            names = next(((str(name),) for name in in_gguf if name is not None), ())
        return Target(names, part, rule) if names else None


class HFTensors:
    """A file's tensors under Hugging Face's names."""

    def __init__(self, file: GGUFFile, arch: Architecture, config: Mapping[str, Any]) -> None:
        self._file = file
        self._config = config
        self._names = TensorNames(arch, config[arch.layers])

    def names(self, hf_names: Iterable[str]) -> frozenset[str]:
        """Those of the names that the file has tensors for; a tensor that has none of them appears under its own."""
        names, others = set(), {name for name in self._file.tensors if not _ROPE.fullmatch(name)}
        for name in hf_names:
            target = self._names.target(name)
            if target is not None and self._file.tensors.keys() >= {*target.names}:
                names.add(name)
                others -= {*target.names}
        return frozenset(names | others)

    def read(self, hf_name: str) -> Tensor | None:
        """Read a tensor in Hugging Face's layout; None if the file has no tensor of this name.

        F32, F16 and BF16 keep their dtype (Gemma 3's norms are always float32) and may view the memory map; other types are
        dequantized to float32.

        Raises:
            UserError: its shape is invalid.
        """
        target = self._names.target(hf_name)
        if target is None or not self._file.tensors.keys() >= {*target.names}:
            return None
        parts = [self._read(name, target.part) for name in target.names]
        if target.rule is None:
            return parts[0]
        try:
            return target.rule.to_hf(parts, self._config)
        except UserError:
            raise
        except (RuntimeError, ValueError, IndexError, ArithmeticError) as error:
            raise UserError(
                f"'{self._file.path}': the tensor '{target.names[0]}' does not have the shape that the metadata implies; "
                "the file is damaged, download it again"
            ) from error

    def _read(self, name: str, part: int | None) -> Tensor:
        shape = self._file.tensors[name].shape
        if len(shape) > 3 or (part is not None and len(shape) != 3):
            raise UserError(f"'{self._file.path}': the tensor '{name}' has the invalid shape {shape}; the file is damaged")
        return self._file.tensor(name, part)


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
        target = names.target(hf_name)
        if target is None and _IGNORED.fullmatch(hf_name):
            continue
        if target is None:
            raise UserError(f"the tensor '{hf_name}' has no name in GGUF's architecture {arch.name}; remove it")
        if target.names == (OUTPUT,) and tied:
            continue
        parts = [tensor] if target.rule is None else target.rule.to_gguf(tensor, hf_config)
        for name, part in zip(target.names, parts, strict=True):
            if target.part is not None:
                collected = experts.setdefault(name, {})
                collected[target.part] = part
                if len(collected) < expert_count(hf_config):
                    continue
                part = torch.stack([collected[number] for number in sorted(collected)])
                del experts[name]
            yield name, part
            if name == EMBEDDING and tied and arch.needs_output:
                yield OUTPUT, part
    if experts:
        raise UserError(f"the checkpoint lacks experts of '{next(iter(experts))}'; it is not a complete model")
