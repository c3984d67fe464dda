"""A family is one table: how a Hugging Face model type says what `TransformerConfig` says, and what it calls our weights.

The table is read in both directions, so loading and saving cannot drift apart; docs/add-a-family.md shows how to write one.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.quantized_matrix import QuantizedMatrix


class Entry(Protocol):
    """A part of config.json: one key (`Field`), or several that belong together (`families.parts`)."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        """Our fields and their values."""

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        """Add the keys to config.json's contents."""


@dataclass(frozen=True)
class Field:
    """One key of config.json, the field of ours that it stands for, and how its values are spelled there."""

    hf: str
    """Their key."""
    ours: str
    default: Any = None
    """What the family takes a missing key, or a null, to mean; a function gets the fields read so far."""
    values: Mapping[Any, Any] = field(default_factory=dict)
    """Their spelling of a value: ours; empty where they are the same."""
    other: str = ""
    """The key in other releases of transformers: read where `hf` is missing."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        value = hf_config.get(self.hf)
        if value is None and self.other:
            value = hf_config.get(self.other)
        if value is None:
            value = self.default(read_so_far) if callable(self.default) else self.default
            return {self.ours: value if not self.values else self.values.get(value, value)}
        if self.values and value not in self.values:
            known = ", ".join(map(str, self.values))
            raise UserError(f"config.json: {self.hf}={value!r} is not supported here: {known} is")
        return {self.ours: self.values.get(value, value) if self.values else value}

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        value = getattr(config, self.ours)
        hf_config[self.hf] = next((theirs for theirs, ours in self.values.items() if ours == value), value)


@dataclass(frozen=True)
class Weight:
    """One tensor of the checkpoint and what it is called here; `{i}` is the layer, `{e}` the expert."""

    hf: str
    ours: tuple[str, ...]
    """More than one: they are stacked along the output dimension there."""
    transposed: bool = False
    """Kept there as (in, out)."""
    by_head: bool = False
    """Stacked there head by head: each head's rows of every one of `ours`, then the next head's."""
    when: Callable[[TransformerConfig, int], bool] = lambda config, layer: True
    """Whether a layer of a model of this configuration has it."""


@dataclass(frozen=True)
class Family:
    """One model type of Hugging Face's."""

    model_type: str
    architecture: str
    fields: tuple[Entry, ...]
    implied: Callable[[TransformerConfig], Mapping[str, Any]]
    """What config.json does not say because the model type means it: our fields and their values."""
    weights: tuple[Weight, ...]
    optional_prefix: str = ""
    """What a checkpoint of the headless model leaves out in front of its names."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Further keys to write into config.json."""
    refuse: Callable[[Mapping[str, Any]], str | None] = lambda hf_config: None
    """What of a config.json we cannot do, as the middle of a sentence."""

    def read_config(self, hf_config: Mapping[str, Any]) -> TransformerConfig:
        """Translate the contents of a config.json.

        Raises:
            UserError: it asks for something that this family cannot do here, or is damaged.
        """
        if reason := self.refuse(hf_config):
            raise UserError(f"config.json: {reason} is not supported for model_type {self.model_type!r}")
        try:
            ours: dict[str, Any] = {"family": self.model_type}
            for entry in self.fields:
                ours |= entry.read(hf_config, ours)
            config = TransformerConfig(**(ours | dict(self.implied(TransformerConfig(**ours)))))
            config.check()
        except UserError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise UserError(f"config.json does not describe a {self.model_type} model ({error}): it is damaged") from error
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

    def misfits(self, config: TransformerConfig) -> list[str]:
        """What of `config` is lost in this family's config.json; empty: it fits."""
        try:
            said = self.read_config(self.write_config(config))
        except UserError as error:
            return [str(error)]
        names = (name for name in vars(config) if name != "family")
        return [f"{name}={getattr(config, name)!r}" for name in names if getattr(said, name) != getattr(config, name)]

    def to_hf(self, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights under the family's names, contiguous; of a `state` that lacks some, those that it has."""
        written = {}
        for weight, place in self._each(config):
            if weight.ours[0].format(**place) not in state:
                continue
            tensor = torch.cat([state[name.format(**place)] for name in weight.ours])
            if weight.by_head:
                tensor = _regrouped(tensor, len(weight.ours), config.num_attention_heads)
            written[weight.hf.format(**place)] = (tensor.t() if weight.transposed else tensor).contiguous()
        return written

    def from_hf(
        self, config: TransformerConfig, read: Callable[[str], Tensor | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        """Our names and tensors, one at a time; `read` gives a checkpoint's tensor by its name, or None.

        Raises:
            UserError: a tensor is missing or has another shape than the configuration says.
        """
        for weight, place in self._each(config):
            name = weight.hf.format(**place)
            tensor = read(name)
            if tensor is None and self.optional_prefix:
                tensor = read(name.removeprefix(self.optional_prefix))
            if tensor is None:
                raise UserError(f"the checkpoint has no tensor '{name}': it is not a whole {self.model_type} model")
            if weight.transposed:
                tensor = tensor.t()
            names = [ours.format(**place) for ours in weight.ours]
            rows = [shapes[ours][0] for ours in names]
            expected = (sum(rows), *shapes[names[0]][1:])
            if tuple(tensor.shape) != expected:
                raise UserError(
                    f"the checkpoint's '{name}' has shape {tuple(tensor.shape)}, config.json says {expected}: "
                    "the two files are not of one model"
                )
            yield from self._parts(config, weight, names, rows, tensor)

    def quantized_from_hf(
        self, config: TransformerConfig, read: Callable[[str], QuantizedMatrix | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, QuantizedMatrix]]:
        """Our names and matrices of those that `read` gives."""
        for weight, place in self._each(config):
            if (matrix := read(weight.hf.format(**place))) is not None:
                names = [ours.format(**place) for ours in weight.ours]
                rows = [shapes[ours][0] for ours in names]
                numbers = self._parts(config, weight, names, rows, matrix.numbers)
                scales = self._parts(config, weight, names, rows, matrix.scales)
                for (name, some), (_, theirs) in zip(numbers, scales, strict=True):
                    yield name, QuantizedMatrix(some, theirs, matrix.bits)

    def _parts(
        self, config: TransformerConfig, weight: Weight, names: list[str], rows: list[int], tensor: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        if weight.by_head:
            tensor = _regrouped(tensor, config.num_attention_heads, len(names))
        yield from zip(names, torch.split(tensor, rows), strict=True)

    def stacks(self, config: TransformerConfig) -> Iterator[tuple[str, list[str]]]:
        """Every tensor of theirs, and those of ours that lie in it."""
        for weight, place in self._each(config):
            yield weight.hf.format(**place), [name.format(**place) for name in weight.ours]

    def split(
        self, config: TransformerConfig, hf_name: str, tensor: Tensor, shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        """Our names and parts of something that has the rows of one of their matrices, as (out, ...).

        Args:
            config: of the model.
            hf_name: their name of the matrix.
            tensor: (out, ...), whatever way they keep the matrix itself.
            shapes: of our weights.
        """
        for weight, place in self._each(config):
            if weight.hf.format(**place) == hf_name:
                names = [name.format(**place) for name in weight.ours]
                yield from self._parts(config, weight, names, [shapes[name][0] for name in names], tensor)

    @property
    def transposes(self) -> bool:
        """Whether it keeps matrices as (in, out)."""
        return any(weight.transposed for weight in self.weights)

    def _each(self, config: TransformerConfig) -> Iterator[tuple[Weight, dict[str, int]]]:
        for weight in self.weights:
            for layer in range(config.num_hidden_layers if "{i}" in weight.hf else 1):
                if weight.when(config, layer):
                    yield from (
                        (weight, {"i": layer, "e": e}) for e in range(config.num_experts if "{e}" in weight.hf else 1)
                    )


def _regrouped(tensor: Tensor, outer: int, inner: int) -> Tensor:
    """Rows in `outer` groups of `inner` blocks, put into `inner` groups of `outer`."""
    return tensor.reshape(outer, inner, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
