"""A family is one table that maps a Hugging Face config and its weights to `TransformerConfig` and our weights.

The table is used in both directions, so loading and saving cannot drift apart; docs/add-a-family.md shows how to write one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.layouts import STACKED, Layout
from lmcraft.model.quantized_matrix import QuantizedMatrix
from lmcraft.model.setting_checks import check_sizes

CONFIG = "config.json"
SETTING = re.compile(r"\bmodel\.(\w+(?:\.\w+)?)")  # a field of `TransformerConfig`, in an error


class Entry(Protocol):
    """A part of config.json: one key (`Field`), or several related ones (`families.common`)."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        """Our fields and their values; `read_so_far` holds the fields of earlier entries."""

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        """Add this part's keys to the contents of config.json."""


@dataclass(frozen=True)
class Field:
    """One key of config.json, our matching field, and the mapping of its values."""

    hf: str
    """Key in config.json."""
    ours: str
    """Field of `TransformerConfig`, or of one of its groups, with a dot: `mamba.num_heads`."""
    default: Any = None
    """Value if the key is missing or null; a function receives the fields read so far."""
    values: Mapping[Any, Any] = field(default_factory=dict)
    """Mapping from their values to ours; empty if they are the same."""
    other: str = ""
    """Key in other releases of transformers, read if `hf` is missing."""
    null_is_zero: bool = False
    """A null means 0, which turns something off, instead of the default."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        value = hf_config.get(self.hf)
        if value is None and self.null_is_zero and self.hf in hf_config:
            return {self.ours: 0}
        if value is None and self.other:
            value = hf_config.get(self.other)
        if value is None:
            value = self.default(read_so_far) if callable(self.default) else self.default
            return {self.ours: value if not self.values else self.values.get(value, value)}
        if self.values and value not in self.values:
            supported = ", ".join(map(repr, self.values))
            raise UserError(f"config.json: {self.hf}={value!r} is not supported; supported: {supported}")
        return {self.ours: self.values.get(value, value) if self.values else value}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        value = attrgetter(self.ours)(config)
        if self.null_is_zero and not value:
            value = None
        hf_config[self.hf] = next((theirs for theirs, ours in self.values.items() if ours == value), value)


@dataclass(frozen=True)
class Weight:
    """One tensor of the checkpoint and our names for it; `{i}` is the layer, `{e}` the expert.

    If only our names have `{e}`, the checkpoint stacks all experts along a new first dimension.
    """

    hf: str
    ours: tuple[str, ...]
    """Several names: our tensors, joined along the output dimension in the checkpoint."""
    transposed: bool = False
    """Stored as (in, out)."""
    layout: Layout = STACKED
    """How the rows of `ours` lie in it."""
    shape: Callable[[TransformerConfig], tuple[int, ...]] | None = None
    """Its shape, if it has other dimensions than our tensors imply."""
    when: Callable[[TransformerConfig, int], bool] = lambda config, layer: True
    """Whether a layer has this tensor, given the configuration and the layer's number; asked only of layers that have its
    part: attention, a recurrent mixer, a feed-forward layer."""

    @property
    def stacks_experts(self) -> bool:
        """Whether the checkpoint's tensor holds all experts."""
        return "{e}" in self.ours[0] and "{e}" not in self.hf

    def names(self, config: TransformerConfig, index: Mapping[str, int]) -> list[str]:
        """Our names for one tensor."""
        experts = range(config.num_experts) if self.stacks_experts else [index["e"]]
        return [name.format(i=index["i"], e=e) for e in experts for name in self.ours]

    def join(self, tensors: Sequence[Tensor], config: TransformerConfig) -> Tensor:
        """The rows of the checkpoint's tensor, from ours in the order of `names`."""
        if not self.stacks_experts:
            return self.layout.join(tensors, config)
        count = len(self.ours)
        experts = (tensors[first : first + count] for first in range(0, len(tensors), count))
        return torch.stack([self.layout.join(expert, config) for expert in experts])

    def split(self, tensor: Tensor, sizes: Sequence[int], config: TransformerConfig) -> list[Tensor]:
        """Our tensors in the order of `names`, of `sizes` rows each, from the rows of the checkpoint's."""
        if not self.stacks_experts:
            return list(self.layout.split(tensor, sizes, config))
        return [part for expert in tensor for part in self.layout.split(expert, sizes[: len(self.ours)], config)]


@dataclass(frozen=True)
class Family:
    """One Hugging Face model type."""

    model_type: str
    architecture: str
    fields: tuple[Entry, ...]
    implied: Callable[[TransformerConfig], Mapping[str, Any]]
    """Our fields that the model type implies, so config.json does not contain them."""
    weights: tuple[Weight, ...]
    optional_prefix: str = ""
    """Prefix that checkpoints of the headless model leave out of tensor names."""
    unused: str = ""
    """Regular expression for the names of tensors that the model leaves out: heads that it has no use for."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Ends of tensors' names in early checkpoints, and what they are now."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Additional keys to write into config.json."""
    unneeded: Callable[[TransformerConfig], Sequence[str]] = lambda config: ()
    """Tensors that checkpoints may have although the model does not use them."""
    refuse: Callable[[Mapping[str, Any]], str | None] = lambda hf_config: None
    """The unsupported feature of a config.json, if any, as the subject of an error sentence."""

    def read_config(self, hf_config: Mapping[str, Any]) -> TransformerConfig:
        """Translate the contents of a config.json.

        Raises:
            UserError: it uses an unsupported feature, or is damaged.
        """
        try:
            if reason := self.refuse(hf_config):
                raise UserError(f"config.json: {reason} is not supported for model_type {self.model_type!r}")
            ours: dict[str, Any] = {"family": self.model_type}
            for entry in self.fields:
                values = entry.read(hf_config, ours)
                check_sizes(TransformerConfig, values)  # later entries may build lists of these sizes
                ours |= values
            config = _build_config(ours)
            config = _build_config(ours | dict(self.implied(config)))
            config.check()
        except UserError as error:
            theirs = {entry.ours: entry.hf for entry in self.fields if isinstance(entry, Field)}
            message = SETTING.sub(lambda match: theirs.get(match[1], match[1]), str(error))
            raise UserError(message if message.startswith(CONFIG) else f"{CONFIG}: {message}") from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise UserError(f"config.json is damaged: it does not describe a {self.model_type} model ({error})") from error
        return config

    def write_config(self, config: TransformerConfig) -> dict[str, Any]:
        """The contents of config.json."""
        written = {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            **deepcopy(dict(self.constants)),
        }
        for entry in self.fields:
            entry.write(config, written)
        return written

    def inexpressible_settings(self, config: TransformerConfig) -> list[str]:
        """The settings of `config` that this family's config.json cannot express; empty if it fits."""
        try:
            round_trip = self.read_config(self.write_config(config))
        except UserError as error:
            return [str(error)]
        names = (name for name in vars(config) if name != "family")
        return [f"{name}={getattr(config, name)!r}" for name in names if getattr(round_trip, name) != getattr(config, name)]

    def to_hf(self, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights in the family's names and layout, contiguous; weights missing from `state` are skipped."""
        written = {}
        for weight, index in self._each_weight(config):
            names = weight.names(config, index)
            if names[0] not in state:
                continue
            tensor = weight.join([state[name] for name in names], config)
            tensor = (tensor.mT if weight.transposed else tensor).contiguous()
            written[weight.hf.format(**index)] = tensor.view(weight.shape(config)) if weight.shape else tensor
        return written

    def from_hf(
        self, config: TransformerConfig, read: Callable[[str], Tensor | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield our names and tensors, one at a time; `read` returns a checkpoint tensor by name, or None.

        Raises:
            UserError: a tensor is missing, or its shape does not match the configuration.
        """
        for weight, index in self._each_weight(config):
            name = weight.hf.format(**index)
            tensor = read(name)
            if tensor is None and self.optional_prefix:
                tensor = read(name.removeprefix(self.optional_prefix))
            if tensor is None:
                raise UserError(f"the checkpoint has no tensor '{name}'; it is not a complete {self.model_type} model")
            names = weight.names(config, index)
            if lacking := [ours for ours in names if ours not in shapes]:
                raise UserError(
                    f"config.json describes a model without '{lacking[0]}', which a {self.model_type} model has: correct "
                    "the sizes"
                )
            rows = [shapes[ours][0] if shapes[ours] else 1 for ours in names]
            implied = (sum(rows[: len(weight.ours)]), *shapes[names[0]][1:]) if shapes[names[0]] else ()
            if weight.stacks_experts:
                implied = (config.num_experts, *implied)
            if weight.transposed:
                implied = (*implied[:-2], implied[-1], implied[-2])
            expected = weight.shape(config) if weight.shape else implied
            if tuple(tensor.shape) != expected:
                raise UserError(
                    f"the checkpoint's '{name}' has shape {tuple(tensor.shape)}, but config.json implies {expected}; "
                    "the two files belong to different models"
                )
            tensor = tensor.reshape(implied)
            tensor = tensor.mT if weight.transposed else tensor
            yield from zip(names, weight.split(tensor, rows, config), strict=True)

    def quantized_from_hf(
        self, config: TransformerConfig, read: Callable[[str], QuantizedMatrix | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, QuantizedMatrix]]:
        """Yield our names and matrices of all quantized tensors that `read` returns."""
        for weight, index in self._each_weight(config):
            if (matrix := read(weight.hf.format(**index))) is not None:
                names = weight.names(config, index)
                rows = [shapes[ours][0] for ours in names]
                for number, name in enumerate(names):
                    yield name, matrix.with_tensors(partial(_part, config, weight, rows, number))

    def stacks(self, config: TransformerConfig) -> Iterator[tuple[str, list[str]]]:
        """Yield each checkpoint tensor's name and the names of our tensors stacked in it."""
        for weight, index in self._each_weight(config):
            yield weight.hf.format(**index), weight.names(config, index)

    def fused_experts(self, config: TransformerConfig) -> frozenset[str]:
        """Our names of the weights that the checkpoint stores with those of other experts in one tensor."""
        fused = [weight for weight in self.weights if weight.stacks_experts]
        names = (weight.names(config, index) for weight, index in self._each_weight(config, fused))
        return frozenset(chain.from_iterable(names))

    def split(
        self, config: TransformerConfig, hf_name: str, tensor: Tensor, shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        """Split a tensor with the rows of one checkpoint matrix into parts for our matrices.

        Args:
            config: the model configuration.
            hf_name: the matrix's name in the checkpoint.
            tensor: (out, ...), even if the family stores the matrix itself as (in, out).
            shapes: shapes of our weights.
        """
        weight, index = self._weight_of(config, hf_name)
        names = weight.names(config, index)
        yield from zip(names, weight.split(tensor, [shapes[name][0] for name in names], config), strict=True)

    def join(self, config: TransformerConfig, hf_name: str, tensors: Sequence[Tensor]) -> Tensor:
        """Join tensors with the rows of our matrices, in the order of `stacks`, to one with those of a checkpoint matrix."""
        return self._weight_of(config, hf_name)[0].join(tensors, config)

    def _weight_of(self, config: TransformerConfig, hf_name: str) -> tuple[Weight, dict[str, int]]:
        candidates = [weight for weight in self.weights if hf_name.endswith(weight.hf.rpartition("}")[2])]
        return next(
            (weight, index)
            for weight, index in self._each_weight(config, candidates)
            if weight.hf.format(**index) == hf_name
        )

    def transposed_names(self, config: TransformerConfig) -> frozenset[str]:
        """The checkpoint's names of the matrices that are stored as (in, out)."""
        return frozenset(weight.hf.format(**index) for weight, index in self._each_weight(config) if weight.transposed)

    @property
    def transposes(self) -> bool:
        """Whether matrices are stored as (in, out); stacks of experts aside."""
        return any(weight.transposed and not weight.stacks_experts for weight in self.weights)

    def _each_weight(
        self, config: TransformerConfig, weights: Sequence[Weight] | None = None
    ) -> Iterator[tuple[Weight, dict[str, int]]]:
        for weight in self.weights if weights is None else weights:
            for layer in range(config.num_hidden_layers if "{i}" in weight.hf else 1):
                if _has_part(config, layer, weight.ours[0]) and weight.when(config, layer):
                    yield from (
                        (weight, {"i": layer, "e": e}) for e in range(config.num_experts if "{e}" in weight.hf else 1)
                    )


def _has_part(config: TransformerConfig, layer: int, name: str) -> bool:
    """Whether a layer has the part of the block that our tensor belongs to."""
    part = name.removeprefix("layers.{i}.").partition(".")[0]
    match part:
        case "attention":
            return config.has_attention(layer)
        case "mixer":
            return bool(config.state_shapes(layer))
        case "attention_norm" | "attention_post_norm":
            return config.layer_type(layer) != "feed_forward"
        case "feed_forward" | "feed_forward_norm" | "feed_forward_post_norm":
            return config.has_feed_forward(layer)
    return True


def _build_config(values: Mapping[str, Any]) -> TransformerConfig:
    """The configuration of fields, of which those with a dot in their name belong to groups."""
    plain = {name: value for name, value in values.items() if "." not in name}
    defaults = {field.name: field.default for field in fields(TransformerConfig)}
    groups: dict[str, dict[str, Any]] = {}
    for name in values.keys() - plain.keys():
        group, _, member = name.partition(".")
        groups.setdefault(group, {})[member] = values[name]
    built = {name: replace(plain.get(name, defaults[name]), **members) for name, members in groups.items()}
    return TransformerConfig(**plain | built)


def _part(config: TransformerConfig, weight: Weight, rows: Sequence[int], number: int, tensor: Tensor) -> Tensor:
    return weight.split(tensor, rows, config)[number]
