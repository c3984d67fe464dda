"""The Jacobian lens: what an activation of a middle layer makes the model say now or later, on average over texts.

From "Verbalizable Representations Form a Global Workspace in Language Models" (Anthropic, July 2026,
transformer-circuits.pub/2026/workspace). With h_l the residual stream after block l, and h the one after the last block,

    J_l = mean over texts and positions t of the sum over positions u >= t of d h[u] / d h_l[t]

The lens reads softmax(W_U norm(J_l h_l)), with the model's own final norm and output projection; J_l = I is the logit lens.

Shapes: L blocks, C width, V vocabulary, N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.residual_stream import freeze_norm
from lmcraft.model.transformer import Transformer


@dataclass(frozen=True)
class FitRecord:
    """How a lens was fitted."""

    prompts: int
    tokens: int
    """Of all prompts."""
    directions: int
    """Directions of the output that were propagated back, over all prompts."""
    is_exact: bool
    """Whether each prompt's Jacobians were computed whole, not from random directions."""
    seed: int
    texts: str
    """Where the prompts are from."""
    weights_sha256: str
    """Of the model's weights."""
    errors: Sequence[float]
    """(L - 1,) for each block, the standard error of J_l relative to its norm, from two halves of the prompts."""


@dataclass(frozen=True)
class JacobianLens:
    """The Jacobians of a model's blocks but for the last, whose Jacobian is the identity."""

    matrices: Tensor
    """(L - 1, C, C), from the residual stream after each block to that after the last: J h."""
    record: FitRecord

    def check(self, transformer: Transformer) -> None:
        """Check that it has the model's sizes.

        Raises:
            UserError: it does not.
        """
        config = transformer.config
        if self.matrices.shape != (config.num_hidden_layers - 1, config.hidden_size, config.hidden_size):
            layers, width = self.matrices.shape[:2]
            raise UserError(
                f"the Jacobian lens is of a model with {layers + 1} layers of width {width}, and this one has "
                f"{config.num_hidden_layers} of width {config.hidden_size}: fit it again with `lmcraft explain --fit-lens`"
            )

    def transport(self, layer: int, hidden: Tensor) -> Tensor:
        """J_l h in float32, (..., C), for the residual stream after a block, (..., C)."""
        hidden = hidden.float()
        if layer == len(self.matrices):
            return hidden
        return hidden @ self.matrices[layer].to(hidden.device, torch.float32).T


def token_directions(
    transformer: Transformer, jacobian: JacobianLens | None, layer: int, token_ids: Sequence[int]
) -> Tensor:
    """The directions of the residual stream after a block along which a lens reads tokens, (N, C), in float32.

    They are J_l^T (g * W_U[token]), where g is the gain of the final norm: their product with h_l is the token's logit in
    the lens, up to the norm's scale. Without a Jacobian they are those of the logit lens.
    """
    weight = transformer.output_head.direction(torch.tensor(list(token_ids))).detach()
    norm = freeze_norm(transformer.norm, torch.zeros(weight.shape[-1], device=weight.device))
    weight = weight * norm.gain.detach()
    if norm.is_centered:
        weight = weight - weight.mean(-1, keepdim=True)
    if jacobian is None or layer == len(jacobian.matrices):
        return weight
    return weight @ jacobian.matrices[layer].to(weight.device, torch.float32)
