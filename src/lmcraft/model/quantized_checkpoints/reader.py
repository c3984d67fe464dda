"""Reads a checkpoint with quantized matrices as one without."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from safetensors import SafetensorError
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.quantized_checkpoints.formats import OF_ACTIVATIONS
from lmcraft.model.quantized_checkpoints.stored_matrix import Decoded, Names, StoredMatrix
from lmcraft.model.quantized_matrix import QuantizedMatrix


@dataclass(frozen=True)
class DequantizingReader:
    """A checkpoint's tensors, its matrices dequantized when they are read."""

    source: str
    """Its location, for messages."""
    matrices: Mapping[str, StoredMatrix]
    """By the names of the weights."""
    stored_names: Names
    read_stored: Callable[[str], Tensor]
    transposed: Names
    """Weights whose unquantized checkpoint has them as (inputs, outputs)."""

    @property
    def names(self) -> Names:
        """The names that the unquantized checkpoint has."""
        parts = {part for matrix in self.matrices.values() for part in matrix.tensors.values()}
        others = (name for name in self.stored_names - parts if not OF_ACTIVATIONS.fullmatch(name))
        return frozenset((*others, *self.matrices))

    def read(self, name: str) -> Tensor:
        """A tensor; a matrix is in float32.

        Raises:
            UserError: the matrix is damaged.
        """
        if name not in self.matrices:
            return self.read_stored(name)
        decoded = self._decode(name)
        dense = decoded.dequantize() if isinstance(decoded, QuantizedMatrix) else decoded
        return dense.t() if name in self.transposed and dense.ndim == 2 else dense

    def read_quantized(self, name: str) -> QuantizedMatrix | None:
        """The integers of a matrix; None if it has none that the native decode step reads.

        Raises:
            UserError: the matrix is damaged.
        """
        decoded = None if name not in self.matrices or name in self.transposed else self._decode(name)
        return decoded if isinstance(decoded, QuantizedMatrix) else None

    def _decode(self, name: str) -> Decoded:
        matrix = self.matrices[name]
        if missing := sorted(set(matrix.tensors.values()) - self.stored_names):
            raise UserError(f"'{self.source}': the quantized '{name}' lacks '{missing[0]}'; download it again")
        try:
            return matrix.decode({role: self.read_stored(part) for role, part in matrix.tensors.items()})
        except (SafetensorError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise UserError(f"'{self.source}': the quantized '{name}' is damaged ({error}); download it again") from error
