"""Mamba-2's state space in chunks, against its recurrence token by token."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.mixers.mamba2 import state_space
from tests.model.mixers.recurrence import check_gradients, random_begins


def recurrence(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, state: Tensor, begins: Tensor) -> Tensor:
    """Section 2.1 of arXiv 2405.21060, for each token in turn."""
    repeats = x.shape[2] // b.shape[2]
    b, c = (part.repeat_interleave(repeats, dim=2) for part in (b, c))
    outputs = []
    for t in range(x.shape[1]):
        state = state.masked_fill(begins[:, t, None, None, None], 0) * (dt[:, t] * A).exp()[..., None, None]
        state = state + torch.einsum("bh,bhd,bhn->bhdn", dt[:, t], x[:, t], b[:, t])
        outputs.append(torch.einsum("bhdn,bhn->bhd", state, c[:, t]))
    return torch.cat((torch.stack(outputs, dim=1).flatten(), state.flatten()))


@pytest.mark.parametrize("T", [1, 2, 64, 150])
def test_chunks_equal_the_recurrence_and_so_do_their_gradients(T: int) -> None:
    torch.manual_seed(T)
    x, dt = torch.randn(2, T, 4, 5, dtype=torch.float64), torch.rand(2, T, 4, dtype=torch.float64)
    b, c = torch.randn(2, 2, T, 2, 3, dtype=torch.float64)
    A, state = -torch.rand(4, dtype=torch.float64), torch.randn(2, 4, 5, 3, dtype=torch.float64)
    begins = random_begins(T)
    check_gradients(
        lambda *inputs: torch.cat([part.flatten() for part in state_space(*inputs, begins)]),
        lambda *inputs: recurrence(*inputs, begins),
        (x, dt, A, b, c, state),
    )
