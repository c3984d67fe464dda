"""Muon: momentum with orthogonalized matrix updates (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

NorMuon (arXiv 2510.05491, algorithm 1) then normalizes the rows of an update, which are a layer's neurons: each is divided
by the root of the running mean of its square.

torch.optim.Muon updates one matrix at a time; this one orthogonalizes all matrices of a shape in batched products, which
dominate its cost on a CPU (benchmarks/pretrain.md).
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from lmcraft.model.kernels.product import can_compute, multiply, multiply_symmetric
from lmcraft.training.sharding import gather_matrices, local_matrices, shard_like

# Coefficients of the quintic iteration: steep at zero, so that small singular values grow fast.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
NUMBERS_PER_PRODUCT = 2**21  # of the matrices that are updated together: enough for fast products, and little memory
EPS = 1e-7  # in denominators


class Muon(torch.optim.Optimizer):
    """w <- w - lr * sqrt(max(1, out / in)) * orthogonal(momentum).

    Args:
        params: matrices (out, in) only.
        beta2: decay of NorMuon's mean of squares, one number per row; 0: plain Muon.
        compute_dtype: the type of the Newton-Schulz products, for which bfloat16 is precise enough.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        beta2: float = 0.0,
        compute_dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "beta2": beta2})
        self.compute_dtype = compute_dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, params in ((shape, part) for shape, same in by_shape.items() for part in _parts(same)):
                mine = local_matrices([self._direction(p, group).to(self.compute_dtype) for p in params])
                updates = gather_matrices(orthogonalize(mine), like=params).to(params[0].dtype)
                if group["beta2"]:
                    updates = self._normalize(updates, params, group["beta2"])
                shards = [shard_like(update, p) for p, update in zip(params, updates.unbind(), strict=True)]
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                torch._foreach_add_(params, shards, alpha=-group["lr"] * scale)

    def _direction(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer

    def _normalize(self, updates: Tensor, params: list[Tensor], beta2: float) -> Tensor:
        """Updates (n, out, in) with normalized rows and an unchanged norm."""
        squares = updates.square().mean(dim=-1, keepdim=True)
        for p, mean in zip(params, squares.unbind(), strict=True):
            state = self.state[p]
            if "row_squares" not in state:
                state["row_squares"] = torch.zeros_like(mean)
            state["row_squares"].lerp_(mean, 1 - beta2)
        means = torch.stack([self.state[p]["row_squares"] for p in params])
        normalized: Tensor = updates / (means.sqrt() + EPS)
        before, after = (x.norm(dim=(-2, -1), keepdim=True) for x in (updates, normalized))
        return normalized.mul_(before / (after + EPS))


def _parts(params: list[Tensor]) -> list[list[Tensor]]:
    """Matrices of a shape, in parts that are updated together; sharded ones in one, which the processes share."""
    size = len(params) if isinstance(params[0], DTensor) else max(1, NUMBERS_PER_PRODUCT // params[0].numel())
    return [params[start : start + size] for start in range(0, len(params), size)]


def orthogonalize(x: Tensor) -> Tensor:
    """Approximately orthogonalize a batch of matrices (n, out, in): all singular values of the result are near 1.

    Uses a quintic Newton-Schulz iteration.
    """
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
    if len(x) and can_compute(x[0], x[0].mT):
        x = torch.stack([_orthogonalize_by_gram(matrix) for matrix in x])
    else:
        for _ in range(ITERATIONS):
            gram = torch.bmm(x, x.mT)
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x


def _orthogonalize_by_gram(x: Tensor) -> Tensor:
    """The same iteration for one float32 matrix, in half the operations.

    With g = x x^T, an iteration multiplies x by p = A + B g + C g^2, and g by p^2. All of them are symmetric, so half of
    each product is enough, and x itself is multiplied only at the end, by the product of all p.
    """
    gram, factor = multiply_symmetric(x, x.mT), None
    for iteration in range(ITERATIONS):
        p = multiply_symmetric(gram, gram).mul_(C).add_(gram, alpha=B)
        p.diagonal().add_(A)
        factor = p if factor is None else multiply_symmetric(p, factor)
        if iteration < ITERATIONS - 1:
            gram = multiply_symmetric(multiply_symmetric(gram, p), p)
    assert factor is not None
    return multiply(factor, x)
