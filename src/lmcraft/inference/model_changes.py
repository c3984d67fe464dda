"""What a caller changed in a model after it was built: whether its weights alone still describe it, and whether an engine
that was built for it is still right.
"""

from collections.abc import Sequence
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from lmcraft.model.attention import BaseAttention
from lmcraft.model.block import Block
from lmcraft.model.config import TransformerConfig
from lmcraft.model.norm import make_final_norm
from lmcraft.model.transformer import Transformer

SAMPLES_PER_DIMENSION = 8


def find_modification(model: Transformer) -> str:
    """What the caller changed in the model, beyond its weights and configuration; empty if nothing."""
    if callable(model.attention_kind):
        return f"it has a custom attention function, {function_name(model.attention_kind)}"
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        return "PyTorch has a forward hook for all modules"
    originals = _build_originals(model)
    for name, module in model.named_modules():
        if change := _find_change(module, originals.get(name)):
            return f"{repr(name) if name else 'the network'} {change}"
    return ""


def function_name(function: Any) -> str:
    """How errors call a function of the caller's."""
    return str(getattr(function, "__name__", type(function).__name__))


def _build_originals(model: Transformer) -> dict[str, nn.Module]:
    """The modules that the configuration describes, by name, without weights."""
    config, blocks = model.config, {}
    with torch.device("meta"):
        originals: dict[str, nn.Module] = {"norm": make_final_norm(config)}
        for number in range(len(model.layers)):
            kind = _layer_kind(config, number)
            if kind not in blocks:
                blocks[kind] = Block(config, number)
            modules = blocks[kind].named_modules()
            originals |= {f"layers.{number}.{name}".removesuffix("."): module for name, module in modules}
    return originals


def _layer_kind(config: TransformerConfig, layer: int) -> tuple[object, ...]:
    """What layers with equal modules have in common."""
    shapes = config.cache_shape(layer), config.state_shapes(layer), config.feed_forward_size(layer)
    return config.layer_type(layer), *shapes, config.has_rotary(layer), config.has_experts(layer)


def _find_change(module: nn.Module, original: nn.Module | None) -> str:
    """How a module differs from the one that its configuration describes; None: one with no settings of its own."""
    is_own = type(module).__module__.startswith("lmcraft.") or isinstance(module, nn.Embedding | nn.ModuleList)
    if type(module) is not type(original) if original is not None else not is_own:
        return f"was replaced by {type(module).__name__}"
    if "forward" in vars(module):
        return "has a forward method of its own"
    if module._forward_hooks or module._forward_pre_hooks:
        return "has a forward hook"
    if isinstance(module, BaseAttention) and callable(module.kind):
        return f"has a custom attention function, {function_name(module.kind)}"
    if original is None:
        return ""
    settings, expected = _settings(module), _settings(original)
    if changed := [key for key in expected if settings.get(key) != expected[key]]:
        return f"has {changed[0]}={settings.get(changed[0])}, which differs from its configuration"
    if _shapes(module) != _shapes(original):
        return "has other weights than its configuration describes"
    return ""


def _settings(module: nn.Module) -> dict[str, Any]:
    ignored = {"training", "layer"} | ({"kind"} if isinstance(module, BaseAttention) else set())
    return {key: value for key, value in vars(module).items() if isinstance(value, int | float | str) and key not in ignored}


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module._parameters.items() if tensor is not None}


class ModelSnapshot:
    """The tensors, layers and settings of models at one moment, to notice any later change.

    A tensor counts as changed if it lies elsewhere, if PyTorch counted a change in place, or if a sample of its elements
    differs, since PyTorch counts no changes through `.data` or NumPy.
    """

    def __init__(self, models: Sequence[Transformer]) -> None:
        self._objects, self._versions = _objects(models), _versions(models)
        self._samples = [_sample(tensor.detach()) for tensor in _tensors(models)]  # views, which keep the memory in use
        self._elements = self._read()

    def matches(self, models: Sequence[Transformer]) -> bool:
        """Whether the models are still the same."""
        objects = _objects(models)
        return (
            len(objects) == len(self._objects)
            and all(map(is_, objects, self._objects))
            and _versions(models) == self._versions
            and torch.equal(self._read(), self._elements)
        )

    def _read(self) -> Tensor:
        """The elements of all samples, as integers, because NaN differs from itself."""
        return torch.cat([sample.flatten().double() for sample in self._samples]).view(torch.int64)


def _objects(models: Sequence[Transformer]) -> list[Any]:
    """Everything that the modules refer to, in order."""
    objects: list[Any] = [*torch_module._global_forward_hooks.values(), *torch_module._global_forward_pre_hooks.values()]
    for module in chain.from_iterable(model.modules() for model in models):
        objects.append(type(module))
        objects += vars(module).values()
        objects += module._forward_hooks.values()
        objects += module._forward_pre_hooks.values()
    return objects


def _tensors(models: Sequence[Transformer]) -> list[Tensor]:
    return [tensor for model in models for tensor in chain(model.parameters(), model.buffers())]


def _versions(models: Sequence[Transformer]) -> list[tuple[int, int]]:
    return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in _tensors(models)]


def _sample(tensor: Tensor) -> Tensor:
    """A view of a few elements, evenly spread."""
    return tensor[tuple(slice(None, None, max(1, size // SAMPLES_PER_DIMENSION)) for size in tensor.shape)]
