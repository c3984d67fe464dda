"""A family is one table that maps a Hugging Face config and its weights to `TransformerConfig` and our weights.

The table is used in both directions, so loading and saving cannot drift apart; docs/add-a-family.md shows how to write one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig, check_sizes
from lmcraft.model.quantized_matrix import QuantizedMatrix

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

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        value = hf_config.get(self.hf)
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
        hf_config[self.hf] = next((theirs for theirs, ours in self.values.items() if ours == value), value)


@dataclass(frozen=True)
class Weight:
    """One tensor of the checkpoint and our names for it; `{i}` is the layer, `{e}` the expert."""

    hf: str
    ours: tuple[str, ...]
    """Several names: our tensors, stacked along the output dimension in the checkpoint."""
    transposed: bool = False
    """Stored as (in, out)."""
    by_head: bool = False
    """Stacked per head: the rows of each of `ours` for the first head, then for the next head."""
    when: Callable[[TransformerConfig, int], bool] = lambda config, layer: True
    """Whether a layer has this tensor, given the configuration and the layer's number."""


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
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Additional keys to write into config.json."""
    refuse: Callable[[Mapping[str, Any]], str | None] = lambda hf_config: None
    """The unsupported feature of a config.json, if any, as the subject of an error sentence."""

    def read_config(self, hf_config: Mapping[str, Any]) -> TransformerConfig:
        """Translate the contents of a config.json.

        Raises:
            UserError: it uses an unsupported feature, or is damaged.
        """
        if reason := self.refuse(hf_config):
            raise UserError(f"config.json: {reason} is not supported for model_type {self.model_type!r}")
        try:
            ours: dict[str, Any] = {"family": self.model_type}
            for entry in self.fields:
                values = entry.read(hf_config, ours)
                check_sizes(values)  # later entries may build lists of these sizes
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
            if weight.ours[0].format(**index) not in state:
                continue
            tensor = torch.cat([state[name.format(**index)] for name in weight.ours])
            if weight.by_head:
                tensor = _regroup_rows(tensor, len(weight.ours), config.num_attention_heads)
            written[weight.hf.format(**index)] = (tensor.t() if weight.transposed else tensor).contiguous()
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
            if weight.transposed:
                tensor = tensor.t()
            names = [ours.format(**index) for ours in weight.ours]
            rows = [shapes[ours][0] for ours in names]
            expected = (sum(rows), *shapes[names[0]][1:])
            if tuple(tensor.shape) != expected:
                raise UserError(
                    f"the checkpoint's '{name}' has shape {tuple(tensor.shape)}, but config.json implies {expected}; "
                    "the two files belong to different models"
                )
            yield from self._split_rows(config, weight, names, rows, tensor)

    def quantized_from_hf(
        self, config: TransformerConfig, read: Callable[[str], QuantizedMatrix | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, QuantizedMatrix]]:
        """Yield our names and matrices of all quantized tensors that `read` returns."""
        for weight, index in self._each_weight(config):
            if (matrix := read(weight.hf.format(**index))) is not None:
                names = [ours.format(**index) for ours in weight.ours]
                rows = [shapes[ours][0] for ours in names]
                for number, name in enumerate(names):
                    yield name, matrix.with_tensors(partial(self._rows_of, config, weight, names, rows, number))

    def _rows_of(
        self, config: TransformerConfig, weight: Weight, names: list[str], rows: list[int], number: int, tensor: Tensor
    ) -> Tensor:
        return list(self._split_rows(config, weight, names, rows, tensor))[number][1]

    def _split_rows(
        self, config: TransformerConfig, weight: Weight, names: list[str], rows: list[int], tensor: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        if weight.by_head:
            tensor = _regroup_rows(tensor, config.num_attention_heads, len(names))
        yield from zip(names, torch.split(tensor, rows), strict=True)

    def stacks(self, config: TransformerConfig) -> Iterator[tuple[str, list[str]]]:
        """Yield each checkpoint tensor's name and the names of our tensors stacked in it."""
        for weight, index in self._each_weight(config):
            yield weight.hf.format(**index), [name.format(**index) for name in weight.ours]

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
        candidates = [weight for weight in self.weights if hf_name.endswith(weight.hf.rpartition("}")[2])]
        for weight, index in self._each_weight(config, candidates):
            if weight.hf.format(**index) == hf_name:
                names = [name.format(**index) for name in weight.ours]
                yield from self._split_rows(config, weight, names, [shapes[name][0] for name in names], tensor)

    def transposed_names(self, config: TransformerConfig) -> frozenset[str]:
        """The checkpoint's names of the matrices that are stored as (in, out)."""
        return frozenset(weight.hf.format(**index) for weight, index in self._each_weight(config) if weight.transposed)

    @property
    def transposes(self) -> bool:
        """Whether matrices are stored as (in, out)."""
        return any(weight.transposed for weight in self.weights)

    def _each_weight(
        self, config: TransformerConfig, weights: Sequence[Weight] | None = None
    ) -> Iterator[tuple[Weight, dict[str, int]]]:
        for weight in self.weights if weights is None else weights:
            for layer in range(config.num_hidden_layers if "{i}" in weight.hf else 1):
                if weight.when(config, layer):
                    yield from (
                        (weight, {"i": layer, "e": e}) for e in range(config.num_experts if "{e}" in weight.hf else 1)
                    )


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


def _regroup_rows(tensor: Tensor, outer: int, inner: int) -> Tensor:
    """Reorder rows from `outer` groups of `inner` blocks to `inner` groups of `outer` blocks."""
    return tensor.reshape(outer, inner, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
