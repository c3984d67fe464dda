"""Low-rank adapters put around a model's linear layers to be trained, and what PEFT's files say of them."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.model.adapter import BASE_WEIGHTS
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_for
from lmcraft.model.families.family import Family
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.lora_linear import LoraLinear
from lmcraft.model.quantized_matrix import GROUP_SIZE, Bits
from lmcraft.model.transformer import Transformer

ALL = "all-linear"


def add_adapters(model: Transformer, method: MethodConfig) -> None:
    """Freeze a model, and put an adapter around each of the matrices that `method` names.

    Raises:
        UserError: a name is of no matrix in the blocks, or of a part of one; a matrix cannot be kept in so few bits.
    """
    linear = {name: m for name, m in model.layers.named_modules(prefix="layers") if isinstance(m, Linear)}
    wanted, last_names = set(method.target_modules), {_last(name) for name in linear}
    if strange := sorted(wanted - last_names - {ALL}):
        raise UserError(
            f"method.target_modules={strange[0]} is no matrix of this model: choose among {', '.join(sorted(last_names))}, "
            f"or {ALL}"
        )
    chosen = [name for name in linear if ALL in wanted or _last(name) in wanted]  # in order, for the random numbers
    for hf_name, ours in family_for(model.config).stacks(model.config):
        names = [name.removesuffix(".weight") for name in ours]
        if 0 < len(set(chosen).intersection(names)) < len(names):
            raise UserError(
                f"method.target_modules={','.join(sorted(wanted))} takes a part of '{hf_name}', which holds "
                f"{', '.join(map(_last, names))}: name all of these"
            )
    uneven = [name for name in chosen if method.base_weights == "int4" and linear[name].in_features % GROUP_SIZE]
    if uneven:
        name = min(uneven)
        raise UserError(
            f"method.base_weights=int4 takes {GROUP_SIZE} inputs of a matrix together, and {name} has "
            f"{linear[name].in_features}: choose int8"
        )
    model.requires_grad_(False)
    bits: Bits = 4 if method.base_weights == "int4" else 8
    for name in chosen:
        base = linear[name] if method.base_weights == "keep" else FrozenLinear(linear[name], bits)
        model.set_submodule(
            name, LoraLinear(base, method.rank, scale_of(method), method.dropout, dora=method.name == "dora")
        )


def adapted_layers(model: nn.Module) -> list[LoraLinear]:
    """All adapters of a model."""
    return [module for module in model.modules() if isinstance(module, LoraLinear)]


def scale_of(method: MethodConfig) -> float:
    """What a change is multiplied by."""
    return method.alpha / (sqrt(method.rank) if method.use_rslora else method.rank)


def adapter_config(model: Transformer, method: MethodConfig, base: str) -> dict[str, Any]:
    """The contents of adapter_config.json, in PEFT's words; `base` is the address of the base model."""
    adapted = {hf_name.removesuffix(".weight"): len(names) for hf_name, names in _stacks(model)}
    all_ = [hf_name.removesuffix(".weight") for hf_name, _ in family_for(model.config).stacks(model.config)]
    others = [module for module in all_ if module not in adapted]
    stacks = {_end(module, others): n for module, n in adapted.items()}
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
        # Where several of our matrices are one there, its rank is the sum of theirs, and the scale the same.
        "rank_pattern": {name: method.rank * n for name, n in stacks.items() if n > 1},
        "alpha_pattern": {name: method.alpha * (sqrt(n) if method.use_rslora else n) for name, n in stacks.items() if n > 1},
        "fan_in_fan_out": family_for(model.config).transposes,
        "bias": "none",
    }
    return config if method.base_weights == "keep" else config | {BASE_WEIGHTS: method.base_weights}


def adapter_tensors(model: Transformer, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapters' numbers under PEFT's names, without its prefix.

    Args:
        model: with adapters.
        state: its trained parameters by name, whole.
    """
    config, family, tensors = model.config, family_for(model.config), {}
    for hf_name, names in _stacks(model):
        module = hf_name.removesuffix(".weight")
        a = [state[f"{name}.lora_A"] for name in names]
        b = torch.block_diag(*(state[f"{name}.lora_B"] for name in names))  # type: ignore[no-untyped-call]
        parts = torch.split(b, [len(state[f"{name}.lora_B"]) for name in names])
        tensors[f"{module}.lora_A.weight"] = torch.cat(a)
        tensors[f"{module}.lora_B.weight"] = _joined(family, config, names, parts)
        if f"{names[0]}.magnitude" in state:
            lengths = [state[f"{name}.magnitude"][:, None] for name in names]
            tensors[f"{module}.lora_magnitude_vector"] = _joined(family, config, names, lengths)[:, 0]
    return tensors


def _stacks(model: Transformer) -> Iterator[tuple[str, list[str]]]:
    """Their matrices that have adapters, and the names of ours in each."""
    for hf_name, ours in family_for(model.config).stacks(model.config):
        names = [name.removesuffix(".weight") for name in ours]
        if isinstance(_module(model, names[0]), LoraLinear):
            yield hf_name, names


def _module(model: Transformer, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:  # a bias, say
        return None


def _joined(family: Family, config: TransformerConfig, names: list[str], parts: Sequence[Tensor]) -> Tensor:
    """Parts that have the rows of our matrices as one that has the rows of theirs."""
    (tensor,) = family.to_hf(config, {f"{name}.weight": part for name, part in zip(names, parts, strict=True)}).values()
    return tensor.t().contiguous() if family.transposes else tensor


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _end(name: str, others: Sequence[str]) -> str:
    """The shortest end of a name, in whole parts, that none of the others has."""
    parts = name.split(".")
    ends = (".".join(parts[start:]) for start in reversed(range(len(parts))))
    return next(end for end in ends if not any(f".{other}".endswith(f".{end}") for other in others))
