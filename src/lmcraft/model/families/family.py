"""A family is one table: how a Hugging Face model type says what `TransformerConfig` says, and what it calls our weights.

The table is read in both directions, so loading and saving cannot drift apart.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig


@dataclass(frozen=True)
class Field:
    """One key of config.json, the field of ours that it stands for, and how its values are spelled there."""

    hf: str
    """Their key; "a.b" is the key b of the table a."""
    ours: str
    default: Any = None
    """What the family takes a missing key, or a null, to mean; a function gets the fields read so far."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Their spelling of a value: ours; empty where they are the same."""
    older: str = ""
    """The key that earlier releases of transformers use for it: read where `hf` is missing, and written too."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Any:
        table, _, key = self.hf.rpartition(".")
        value = ((hf_config.get(table) or {}) if table else hf_config).get(key)
        if value is None and self.older:
            value = hf_config.get(self.older)
        if value is None:
            return self.default(read_so_far) if callable(self.default) else self.default
        if not self.values:
            return value
        if value not in self.values:
            raise UserError(f"config.json: {self.hf}={value!r} is not supported here: one of {', '.join(self.values)} is")
        return self.values[value]

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        value = getattr(config, self.ours)
        value = next((theirs for theirs, ours in self.values.items() if ours == value), value)
        table, _, key = self.hf.rpartition(".")
        (hf_config.setdefault(table, {}) if table else hf_config)[key] = value
        if self.older:
            hf_config[self.older] = value


@dataclass(frozen=True)
class Weight:
    """One tensor of the checkpoint and what it is called here; `{i}` is the layer."""

    hf: str
    ours: tuple[str, ...]
    """More than one: they are stacked along the output dimension there."""
    transposed: bool = False
    """Kept there as (in, out)."""
    when: Callable[[TransformerConfig], bool] = lambda config: True
    """Whether a model of this configuration has it."""


@dataclass(frozen=True)
class Family:
    """One model type of Hugging Face's."""

    model_type: str
    architecture: str
    fields: tuple[Field, ...]
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
            UserError: it asks for something that this family cannot do here.
        """
        if reason := self.refuse(hf_config):
            raise UserError(f"config.json: {reason} is not supported for model_type {self.model_type!r}")
        ours: dict[str, Any] = {}
        for entry in self.fields:
            ours[entry.ours] = entry.read(hf_config, ours)
        return TransformerConfig(**(ours | dict(self.implied(TransformerConfig(**ours)))))

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
        """What of `config` this family's format cannot say; empty: it fits."""
        implied = self.implied(config).items()
        wrong = [name for name, value in implied if getattr(config, name) != value]
        wrong += [e.ours for e in self.fields if e.values and getattr(config, e.ours) not in e.values.values()]
        return [f"{name}={getattr(config, name)!r}" for name in wrong]

    def to_hf(self, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights under the family's names, contiguous."""
        written = {}
        for weight, layer in self._each(config):
            tensor = torch.cat([state[name.format(i=layer)] for name in weight.ours])
            written[weight.hf.format(i=layer)] = (tensor.t() if weight.transposed else tensor).contiguous()
        return written

    def from_hf(
        self, config: TransformerConfig, read: Callable[[str], Tensor | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        """Our names and tensors, one at a time; `read` gives a checkpoint's tensor by its name, or None.

        Raises:
            UserError: a tensor is missing or has another shape than the configuration says.
        """
        for weight, layer in self._each(config):
            name = weight.hf.format(i=layer)
            tensor = read(name)
            if tensor is None and self.optional_prefix:
                tensor = read(name.removeprefix(self.optional_prefix))
            if tensor is None:
                raise UserError(f"the checkpoint has no tensor '{name}': it is not a whole {self.model_type} model")
            if weight.transposed:
                tensor = tensor.t()
            names = [ours.format(i=layer) for ours in weight.ours]
            rows = [shapes[ours][0] for ours in names]
            expected = (sum(rows), *shapes[names[0]][1:])
            if tuple(tensor.shape) != expected:
                raise UserError(
                    f"the checkpoint's '{name}' has shape {tuple(tensor.shape)}, config.json says {expected}: "
                    "the two files are not of one model"
                )
            yield from zip(names, torch.split(tensor, rows), strict=True)

    def _each(self, config: TransformerConfig) -> Iterator[tuple[Weight, int]]:
        for weight in self.weights:
            if weight.when(config):
                yield from ((weight, i) for i in range(config.num_hidden_layers if "{i}" in weight.hf else 1))
