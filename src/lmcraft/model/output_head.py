"""From hidden states to logits: the output projection, with what some families add to it.

Shapes: N hidden states, C width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.model.products import linear


@dataclass(frozen=True)
class OutputHead:
    """softcap(scale W x + bias), where softcap(z) = c tanh(z / c) (Gemma 2, arXiv 2408.00118, section 2.1)."""

    weight: Tensor
    """(V, C)."""
    bias: Tensor | None = None
    """(V,)."""
    scale: float = 1.0
    """Multiplies the products."""
    softcap: float = 0.0
    """c; 0: none."""

    def logits(self, x: Tensor) -> Tensor:
        """The logits, (..., V), of hidden states after the final norm, (..., C)."""
        return self.finish(linear(self.scaled(x), self.weight))

    def wide_logits(self, x: Tensor) -> Tensor:
        """The logits in float32, of products in the hidden states' type, which autograd can differentiate twice."""
        return self.finish(torch.nn.functional.linear(self.scaled(x), self.weight.to(x.dtype)).float())

    def scaled(self, x: Tensor) -> Tensor:
        """The hidden states that the weight is multiplied with."""
        return x if self.scale == 1.0 else x * self.scale

    def finish(self, products: Tensor) -> Tensor:
        """The logits from the products of the scaled hidden states and the weight, (..., V)."""
        if self.bias is not None:
            products = products + self.bias.to(products.dtype)
        return products if not self.softcap else soft_cap(products, self.softcap)

    def direction(self, tokens: Tensor | int) -> Tensor:
        """The rows of the weight, scaled, in float32: their products with a hidden state are logits without bias and cap."""
        return self.weight[tokens].float() * self.scale

    def detach(self) -> "OutputHead":
        """The same without gradients."""
        bias = None if self.bias is None else self.bias.detach()
        return OutputHead(self.weight.detach(), bias, self.scale, self.softcap)


def soft_cap(x: Tensor, cap: float) -> Tensor:
    """cap tanh(x / cap)."""
    return torch.tanh(x / cap) * cap
