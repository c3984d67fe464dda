"""A linear layer that computes in its input's dtype, so that float32 weights train in bfloat16 without autocast."""

from torch import Tensor, nn

from lmcraft.model.products import linear
from lmcraft.model.quantized_matrix import QuantizedMatrix


def quantized_form(layer: nn.Module) -> QuantizedMatrix | None:
    """The quantized form of a layer's weight; None if it has none, or if the weight was changed since."""
    quantized: QuantizedMatrix | None = getattr(layer, "quantized", None)
    if quantized is None:
        return None
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return quantized if quantized.matches(weight) else None


class Linear(nn.Linear):
    """x W^T + b in x's dtype; the weights keep theirs (float32 in training)."""

    quantized: QuantizedMatrix | None = None
    """The quantized form of `weight`, if the model was stored quantized; read it by `quantized_form`."""
    quantizable = True
    """Whether `lmcraft quantize` may quantize it: transformers reads quantized matrices only of its own Linear layers."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
