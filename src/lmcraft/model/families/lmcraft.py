"""Our own format, for configurations that no Hugging Face family can express: all fields and weights under our names.

Only lmcraft opens it; transformers does not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.family import Family
from lmcraft.model.transformer import Transformer
from lmcraft.setting_values import is_group


class OurFields:
    """All fields of `TransformerConfig`, under our names."""

    def read(self, hf_config: Mapping[str, Any], read_so_far: Mapping[str, Any]) -> Mapping[str, Any]:
        values = {f.name: hf_config[f.name] for f in fields(TransformerConfig) if f.name in hf_config}
        groups: dict[str, Any] = {f.name: f.default for f in fields(TransformerConfig) if is_group(f.default)}
        built = {name: type(default)(**_lists_to_tuples(values.get(name, {}))) for name, default in groups.items()}
        return _lists_to_tuples(values | built)

    def write(self, config: TransformerConfig, hf_config: dict[str, Any]) -> None:
        hf_config |= asdict(config)


class OurFamily(Family):
    """Weights keep our names and layout."""

    def to_hf(self, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.contiguous() for name, tensor in state.items()}

    def from_hf(
        self, config: TransformerConfig, read: Callable[[str], Tensor | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        for name in shapes:
            tensor = read(name)
            if tensor is None:
                raise UserError(f"the checkpoint has no tensor '{name}'; it is not a complete model")
            yield name, tensor

    def stacks(self, config: TransformerConfig) -> Iterator[tuple[str, list[str]]]:
        with torch.device("meta"):
            names = list(Transformer(config).state_dict())
        yield from ((name, [name]) for name in names)

    def split(
        self, config: TransformerConfig, hf_name: str, tensor: Tensor, shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        yield hf_name, tensor


def _lists_to_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


LMCRAFT = OurFamily(
    model_type="lmcraft",
    architecture="Transformer",
    fields=(OurFields(),),
    implied=lambda config: {},
    weights=(),
)
