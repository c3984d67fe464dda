"""A linear layer that computes in the type of its input, so that float32 weights train in bfloat16 without autocast."""

import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.model.quantized_matrix import QuantizedMatrix


class Linear(nn.Linear):
    """x W^T + b in x's dtype; the weights keep their own (float32 while training)."""

    quantized: QuantizedMatrix | None = None
    """What `weight` was made of, where a folder holds it quantized: the native decode step reads this."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)
