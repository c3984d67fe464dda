"""Opens quantized matrices without a model folder."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lmcraft.model.quantized_checkpoints.formats import quantized_matrices
from lmcraft.model.quantized_checkpoints.reader import DequantizingReader


def open_matrices(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> DequantizingReader:
    """A reader of tensors under a quantization_config."""
    matrices = quantized_matrices({"quantization_config": settings}, frozenset(tensors))
    assert matrices is not None
    return DequantizingReader("folder", matrices, frozenset(tensors), tensors.__getitem__, frozenset())
