"""The gated delta rule in chunks, against its recurrence token by token."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.mixers.gated_delta import gated_delta_rule
from tests.model.mixers.recurrence import check_gradients, random_begins


def recurrence(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor, begins: Tensor) -> Tensor:
    """Equation 10 of arXiv 2412.06464, for each token in turn."""
    outputs = []
    for t in range(q.shape[1]):
        state = state.masked_fill(begins[:, t, None, None, None], 0) * log_decay[:, t, :, None, None].exp()
        new = beta[:, t, :, None] * (v[:, t] - torch.einsum("bhkv,bhk->bhv", state, k[:, t]))
        state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], new)
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]) * q.shape[-1] ** -0.5)
    return torch.cat((torch.stack(outputs, dim=1).flatten(), state.flatten()))


@pytest.mark.parametrize("T", [1, 2, 64, 150])
def test_chunks_equal_the_recurrence_and_so_do_their_gradients(T: int) -> None:
    torch.manual_seed(T)
    q, k = torch.nn.functional.normalize(torch.randn(2, 2, T, 3, 5, dtype=torch.float64), dim=-1)
    v, log_decay = torch.randn(2, T, 3, 4, dtype=torch.float64), -torch.rand(2, T, 3, dtype=torch.float64)
    beta, state = torch.rand(2, T, 3, dtype=torch.float64), torch.randn(2, 3, 5, 4, dtype=torch.float64)
    begins = random_begins(T)
    check_gradients(
        lambda *x: torch.cat([part.flatten() for part in gated_delta_rule(*x, begins)]),
        lambda *x: recurrence(*x, begins),
        (q, k, v, log_decay, beta, state),
    )
