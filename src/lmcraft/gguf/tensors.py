"""The tensors of a model: Hugging Face's names and layout, and GGUF's.

Names come from the `gguf` package (`TensorNameMap`). What llama.cpp's converter does to some tensors is undone on the way
out of a file and done on the way into one.

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
from lmcraft.gguf.hf_config import EMBEDDING, OUTPUT

Change = Callable[[Tensor, Mapping[str, Any]], Tensor]
SUFFIXES = (".weight", ".bias")
_EXPERT = re.compile(r"(model\.layers\.[0-9]{1,9}\.mlp\.experts)\.([0-9]{1,9})\.(\w+\.weight)")
# Buffers that older checkpoints carry along.
_IGNORED = re.compile(r".*(\.rotary_emb\.inv_freq|\.attn\.(masked_)?bias|\.attention\.(masked_)?bias)")


@dataclass(frozen=True)
class Rearranged:
    """Tensors that llama.cpp's converter changes."""

    names: re.Pattern[str]
    """Hugging Face's."""
    to_gguf: Change
    to_hf: Change


def _interleaved(heads: str) -> Rearranged:
    """llama.cpp turns neighboring coordinates of a llama's heads, Hugging Face the two halves: (H, 2, D / 2) there."""

    def swap(tensor: Tensor, config: Mapping[str, Any], *parts: int) -> Tensor:
        count = int(config.get(heads) or config["num_attention_heads"])
        if tensor.shape[0] % (2 * count):
            raise UserError(f"a projection of {tensor.shape[0]} rows does not have {count} heads of pairs: it is damaged")
        return tensor.reshape(count, *parts, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)

    letter = "q" if heads == "num_attention_heads" else "k"
    return Rearranged(
        re.compile(rf".*\.{letter}_proj\.(weight|bias)"),
        to_gguf=lambda tensor, config: swap(tensor, config, 2, -1),
        to_hf=lambda tensor, config: swap(tensor, config, -1, 2),
    )


def _regrouped(tensor: Tensor, first: int, second: int) -> Tensor:
    if tensor.shape[0] % (first * second):
        raise UserError(
            f"a projection of {tensor.shape[0]} rows is not queries, keys and values of equal heads: it is damaged"
        )
    return tensor.reshape(first, second, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


def _heads(config: Mapping[str, Any]) -> int:
    return int(config["num_attention_heads"])


REARRANGED = {
    "llama": (_interleaved("num_attention_heads"), _interleaved("num_key_value_heads")),
    "gemma3": (  # kept as the distance from 1 there
        Rearranged(re.compile(r".*norm\.weight"), lambda t, config: t.float() + 1, lambda t, config: t.float() - 1),
    ),
    "gptneox": (  # (H, 3, D) there, (3, H, D) here
        Rearranged(
            re.compile(r".*\.query_key_value\.(weight|bias)"),
            to_gguf=lambda t, config: _regrouped(t, _heads(config), 3),
            to_hf=lambda t, config: _regrouped(t, 3, _heads(config)),
        ),
    ),
    "gpt2": (  # (in, out) there
        Rearranged(re.compile(r".*\.(c_attn|c_proj|c_fc)\.weight"), lambda t, config: t.t(), lambda t, config: t.t()),
    ),
}


class Names:
    """What GGUF calls the tensors of a checkpoint."""

    def __init__(self, arch: Architecture, layers: int) -> None:
        package = gguf_package()
        number = next(number for number, name in package.MODEL_ARCH_NAMES.items() if name == arch.name)
        self._map = package.get_tensor_name_map(number, layers)

    def gguf(self, hf_name: str) -> tuple[str, int | None] | None:
        """Their name, and which slice of that tensor is meant (an expert); None: it has none."""
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
        self._names = Names(arch, config[arch.layers])
        self._rearranged = REARRANGED.get(arch.name, ())

    def names(self, templates: Iterable[str]) -> frozenset[str]:
        """Which names there are tensors for; in the templates {i} stands for a layer and {e} for an expert."""
        found = set()
        for template in templates:
            for layer in range(self._config[self._layers] if "{i}" in template else 1):
                for expert in range(self._config.get("num_experts", 0) if "{e}" in template else 1):
                    name = template.format(i=layer, e=expert)
                    if (place := self._names.gguf(name)) is not None and place[0] in self._file.tensors:
                        found.add(name)
        return frozenset(found)

    def read(self, hf_name: str) -> Tensor | None:
        """A tensor as Hugging Face's checkpoints have it, None if there is none of this name.

        It has the file's type if that is F32, F16 or BF16 (Gemma 3's norms are always float32), else it is float32; and
        it may look into the file's memory map.

        Raises:
            UserError: its shape makes no sense.
        """
        found = self._names.gguf(hf_name)
        if found is None or found[0] not in self._file.tensors:
            return None
        name, part = found
        entry = self._file.tensors[name]
        if len(entry.shape) != (2 if part is None else 3) and (part is not None or len(entry.shape) != 1):
            raise UserError(f"'{self._file.path}': the tensor '{name}' has the shape {entry.shape}: it is damaged")
        tensor = self._file.tensor(name, part)
        for change in self._rearranged:
            if change.names.fullmatch(hf_name):
                tensor = change.to_hf(tensor, self._config)
        return tensor


def to_gguf(
    tensors: Iterable[tuple[str, Tensor]], arch: Architecture, hf_config: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor]]:
    """A checkpoint's tensors under GGUF's names and in its layout, the experts of a layer as one.

    Raises:
        UserError: a tensor has no name in GGUF, or an expert is missing.
    """
    names = Names(arch, int(hf_config[arch.layers]))
    tied = hf_config.get("tie_word_embeddings")
    tied = arch.tied if tied is None else tied
    experts: dict[str, dict[int, Tensor]] = {}
    for hf_name, tensor in tensors:
        found = names.gguf(hf_name)
        if found is None and _IGNORED.fullmatch(hf_name):
            continue
        if found is None:
            raise UserError(f"the tensor '{hf_name}' has no name in GGUF's architecture {arch.name}: leave it out")
        name, part = found
        if name == OUTPUT and tied:
            continue
        for change in REARRANGED.get(arch.name, ()):
            if change.names.fullmatch(hf_name):
                tensor = change.to_gguf(tensor, hf_config)
        if part is not None:
            waiting = experts.setdefault(name, {})
            waiting[part] = tensor
            if len(waiting) < int(hf_config.get("num_experts") or hf_config["num_local_experts"]):
                continue
            tensor = torch.stack([waiting[number] for number in sorted(waiting)])
            del experts[name]
        yield name, tensor
        if name == EMBEDDING and tied and arch.needs_output:
            yield OUTPUT, tensor
    if experts:
        raise UserError(f"the checkpoint lacks experts of '{next(iter(experts))}': it is not a whole model")
