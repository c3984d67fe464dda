"""A linear layer that computes in its input's dtype, so that float32 weights train in bfloat16 without autocast."""

import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.quantized_matrix import QuantizedMatrix


class Linear(nn.Linear):
    """x W^T + b in x's dtype; the weights keep theirs (float32 in training)."""

    quantized: QuantizedMatrix | None = None
    """The quantized form of `weight`, if the model was stored quantized; the native decoder reads it."""
    quantizable = True
    """Whether `lmcraft quantize` may quantize it: transformers reads quantized matrices only of its own Linear layers."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)
