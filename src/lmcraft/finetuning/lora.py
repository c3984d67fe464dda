"""LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353): adapters around linear layers, and their files in PEFT's format."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.model.adapter import BASE_WEIGHTS
from lmcraft.model.experts import Router
from lmcraft.model.families import family_for
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.mixers.mamba import Mamba
from lmcraft.model.mixers.mamba2 import Mamba2
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits
from lmcraft.model.transformer import Transformer

ALL_LINEAR = "all-linear"


def add_adapters(model: Transformer, method: MethodConfig) -> None:
    """Freeze a model, and put an adapter around each of its matrices named in `method.target_modules`.

    Raises:
        UserError: no matrix has such a name, it is only part of a fused matrix, or its size does not allow 4 bits.
    """
    linear = {name: m for name, m in model.layers.named_modules(prefix="layers") if isinstance(m, Linear)}
    targets, last_names = set(method.target_modules), {_last_part(name) for name in linear}
    if unknown := sorted(targets - last_names - {ALL_LINEAR}):
        raise UserError(
            f"method.target_modules={unknown[0]} is not a matrix of this model: use {', '.join(sorted(last_names))}, "
            f"or {ALL_LINEAR}"
        )
    fused = {name.removesuffix(".weight") for name in family_for(model.config).fused_experts(model.config)}
    left_out = fused | set(_without_adapters_in_peft(model))
    selected = [
        name for name in linear if _last_part(name) in targets or (ALL_LINEAR in targets and name not in left_out)
    ]  # in order, for the random numbers
    if in_experts := fused.intersection(selected):
        raise UserError(
            f"method.target_modules={','.join(sorted(targets))} names matrices of experts, such as {min(in_experts)}, which "
            f"models of type {model.config.family!r} store in one tensor, for which PEFT's format has no adapter: give "
            "others, or train all weights with method.name=full"
        )
    for hf_name, ours in family_for(model.config).stacks(model.config):
        names = [name.removesuffix(".weight") for name in ours]
        if 0 < len(set(selected).intersection(names)) < len(names):
            raise UserError(
                f"method.target_modules={','.join(sorted(targets))} is only part of '{hf_name}', which fuses "
                f"{', '.join(map(_last_part, names))}: give all of these"
            )
    uneven = [name for name in selected if method.base_weights == "int4" and linear[name].in_features % GROUP_SIZE]
    if uneven:
        name = min(uneven)
        raise UserError(
            f"method.base_weights=int4 needs matrices whose inputs are a multiple of {GROUP_SIZE}, but {name} has "
            f"{linear[name].in_features}: use int8"
        )
    model.requires_grad_(False)
    bits: Bits = 4 if method.base_weights == "int4" else 8
    for name in selected:
        base = linear[name] if method.base_weights == "keep" else FrozenLinear(linear[name], bits)
        model.set_submodule(
            name, LoraLinear(base, method.rank, adapter_scale(method), method.dropout, dora=method.name == "dora")
        )


def _without_adapters_in_peft(model: Transformer) -> Iterator[str]:
    """The names of matrices for which PEFT refuses or ignores adapters: routers, and the outputs of Mamba's mixers."""
    for name, module in model.layers.named_modules(prefix="layers"):
        if isinstance(module, Router):
            yield name
        elif isinstance(module, Mamba | Mamba2):
            yield f"{name}.o_proj"


def adapted_layers(model: nn.Module) -> list[LoraLinear]:
    """All adapters of a model."""
    return [module for module in model.modules() if isinstance(module, LoraLinear)]


def adapter_scale(method: MethodConfig) -> float:
    """The factor of an adapter's output."""
    return method.alpha / (sqrt(method.rank) if method.use_rslora else method.rank)


def adapter_config(model: Transformer, method: MethodConfig, base: str) -> dict[str, Any]:
    """The contents of PEFT's adapter_config.json; `base` is the address of the base model."""
    adapted = {hf_name.removesuffix(".weight"): len(names) for hf_name, names in _stacks(model)}
    modules = [hf_name.removesuffix(".weight") for hf_name, _ in family_for(model.config).stacks(model.config)]
    not_adapted = [module for module in modules if module not in adapted]
    stacks = {_unique_suffix(module, not_adapted): n for module, n in adapted.items()}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": method.rank,
        "lora_alpha": method.alpha,
        "lora_dropout": method.dropout,
        "use_rslora": method.use_rslora,
        "use_dora": method.name == "dora",
        "target_modules": sorted(stacks),
        # Several of our matrices may be fused into one in the checkpoint: its rank is the sum of theirs, at the same scale.
        "rank_pattern": {name: method.rank * n for name, n in stacks.items() if n > 1},
        "alpha_pattern": {name: method.alpha * (sqrt(n) if method.use_rslora else n) for name, n in stacks.items() if n > 1},
        "fan_in_fan_out": family_for(model.config).transposes,
        "bias": "none",
    }
    return config if method.base_weights == "keep" else config | {BASE_WEIGHTS: method.base_weights}


def adapter_tensors(model: Transformer, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapters' tensors under PEFT's names, without its prefix.

    Args:
        model: with adapters.
        state: its trained parameters by name, gathered from all processes.
    """
    config, family, tensors = model.config, family_for(model.config), {}
    for hf_name, names in _stacks(model):
        module = hf_name.removesuffix(".weight")
        a = [state[f"{name}.lora_A"] for name in names]
        b = torch.block_diag(*(state[f"{name}.lora_B"] for name in names))  # type: ignore[no-untyped-call]
        parts = torch.split(b, [len(state[f"{name}.lora_B"]) for name in names])
        tensors[f"{module}.lora_A.weight"] = torch.cat(a)
        tensors[f"{module}.lora_B.weight"] = family.join(config, hf_name, parts).contiguous()
        if f"{names[0]}.magnitude" in state:
            lengths = [state[f"{name}.magnitude"][:, None] for name in names]
            tensors[f"{module}.lora_magnitude_vector"] = family.join(config, hf_name, lengths)[:, 0].contiguous()
    return tensors


def _stacks(model: Transformer) -> Iterator[tuple[str, list[str]]]:
    """The checkpoint's matrices that have adapters, and the names of our matrices in each."""
    for hf_name, ours in family_for(model.config).stacks(model.config):
        names = [name.removesuffix(".weight") for name in ours]
        if isinstance(_find_module(model, names[0]), LoraLinear):
            yield hf_name, names


def _find_module(model: Transformer, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:  # e.g. a bias
        return None


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _unique_suffix(name: str, other_names: Sequence[str]) -> str:
    """The shortest suffix of a dotted name that no other name has."""
    parts = name.split(".")
    suffixes = (".".join(parts[start:]) for start in reversed(range(len(parts))))
    return next(suffix for suffix in suffixes if not any(f".{other}".endswith(f".{suffix}") for other in other_names))
