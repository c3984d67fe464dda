"""Our own format, for a configuration that no Hugging Face family can say: every field and weight under our names.

lmcraft opens it; transformers does not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.family import Family, Field


class NativeFamily(Family):
    """The identity."""

    def to_hf(self, config: TransformerConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.contiguous() for name, tensor in state.items()}

    def from_hf(
        self, config: TransformerConfig, read: Callable[[str], Tensor | None], shapes: Mapping[str, torch.Size]
    ) -> Iterator[tuple[str, Tensor]]:
        for name in shapes:
            tensor = read(name)
            if tensor is None:
                raise UserError(f"the checkpoint has no tensor '{name}': it is not a whole model")
            yield name, tensor


NATIVE = NativeFamily(
    model_type="lmcraft",
    architecture="Transformer",
    fields=tuple(Field(f.name, f.name, f.default) for f in fields(TransformerConfig)),
    implied=lambda config: {},
    weights=(),
)
