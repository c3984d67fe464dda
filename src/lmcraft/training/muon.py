"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

NorMuon (arXiv 2510.05491, algorithm 1) then evens out the rows of an update, which are a layer's neurons: each is divided by
the root of its mean square over the steps so far.

torch.optim.Muon takes one matrix at a time; this one takes all matrices of a shape in one batched product, which on a CPU
is what its cost depends on (benchmarks/pretrain.md).
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lmcraft.training.sharding import all_matrices, cut_like, my_matrices

# Coefficients of the quintic iteration: steep at zero, so that small singular values grow fast.
A, B, C = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
EPS = 1e-7  # in denominators


class Muon(torch.optim.Optimizer):
    """w <- w - lr * sqrt(max(1, out / in)) * orthogonal(momentum).

    Args:
        params: matrices (out, in) only.
        beta2: decay of NorMuon's mean of squares, one number a row; 0: Muon without it.
        compute_dtype: the type of the Newton-Schulz products; bfloat16 is enough for them.
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
        """One step for every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, params in by_shape.items():
                mine = my_matrices([self._direction(p, group).to(self.compute_dtype) for p in params])
                updates = all_matrices(orthogonalize(mine), like=params).to(params[0].dtype)
                if group["beta2"]:
                    updates = self._normalize(updates, params, group["beta2"])
                cut = [cut_like(update, p) for p, update in zip(params, updates.unbind(), strict=True)]
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                torch._foreach_add_(params, cut, alpha=-group["lr"] * scale)

    def _direction(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        return p.grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer

    def _normalize(self, updates: Tensor, params: list[Tensor], beta2: float) -> Tensor:
        """Updates (n, out, in) with even rows and the same norm as before."""
        squares = updates.square().mean(dim=-1, keepdim=True)
        for p, now in zip(params, squares.unbind(), strict=True):
            state = self.state[p]
            if "row_squares" not in state:
                state["row_squares"] = torch.zeros_like(now)
            state["row_squares"].lerp_(now, 1 - beta2)
        means = torch.stack([self.state[p]["row_squares"] for p in params])
        even: Tensor = updates / (means.sqrt() + EPS)
        before, after = (x.norm(dim=(-2, -1), keepdim=True) for x in (updates, even))
        return even.mul_(before / (after + EPS))


def orthogonalize(x: Tensor) -> Tensor:
    """The nearest matrices with equal singular values, approximately: those of the result lie near 1.

    A quintic Newton-Schulz iteration on a batch of matrices (n, out, in).
    """
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPS)
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x
