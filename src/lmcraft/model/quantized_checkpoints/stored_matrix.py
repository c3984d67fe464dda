"""A quantized matrix of a checkpoint: the tensors that it is stored in, and how they are decoded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lmcraft.model.quantized_matrix import QuantizedMatrix

Settings = Mapping[str, Any]
"""The quantization_config of config.json."""
Names = frozenset[str]
"""The names of a checkpoint's tensors."""
Parts = Mapping[str, Tensor]
Decoded = QuantizedMatrix | Tensor


@dataclass(frozen=True)
class StoredMatrix:
    """A quantized matrix, (outputs, inputs), or a stack of them."""

    tensors: Mapping[str, str]
    """The names of its tensors in the checkpoint, by their roles."""
    decode: Callable[[Parts], Decoded]
    """Maps its tensors, by their roles, to the matrix: floats, or its integers where these say the same.

    Raises:
        ValueError: the tensors do not belong together.
    """


def find_matrices(
    names: Names,
    mark: str,
    *,
    required: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    decode: Callable[[Parts], Decoded],
    suffix: str = ".weight",
) -> dict[str, StoredMatrix]:
    """The matrices, by the name of the weight, of which a checkpoint has the tensor that ends in `mark`.

    Args:
        names: of the checkpoint's tensors.
        mark: what the name of one tensor of each matrix ends in, after the name of its layer.
        required: the roles of tensors and what their names end in.
        optional: the same for tensors that a matrix may lack.
        decode: as in `StoredMatrix`.
        suffix: what the name of the dequantized weight ends in.
    """
    layers = [name.removesuffix(mark) for name in names if name.endswith(mark)]
    matrices = {}
    for layer in layers:
        present = {role: end for role, end in (optional or {}).items() if layer + end in names}
        tensors = {role: layer + end for role, end in {**required, **present}.items()}
        matrices[layer + suffix] = StoredMatrix(tensors, decode)
    return matrices


def positive_int(settings: Settings, key: str, default: int, *, aliases: tuple[str, ...] = ()) -> int:
    """A setting that is a positive whole number, or -1 for "all".

    Raises:
        ValueError: it is neither.
    """
    value = next((settings[name] for name in (key, *aliases) if settings.get(name) is not None), default)
    if not isinstance(value, int) or isinstance(value, bool) or (value < 1 and value != -1):
        raise ValueError(f"{key}={str(value)[:40]}")
    return value
