"""Mamba's selective scan in chunks, against its recurrence token by token."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.mixers.mamba import selective_scan
from tests.model.mixers.recurrence import check_gradients, random_begins


def recurrence(x: Tensor, dt: Tensor, A: Tensor, b: Tensor, c: Tensor, state: Tensor, begins: Tensor) -> Tensor:
    """Equations 2a and 2b of arXiv 2312.00752, for each token in turn."""
    outputs, state = [], state[:, :, 0]
    for t in range(x.shape[1]):
        state = state.masked_fill(begins[:, t, None, None], 0) * (dt[:, t, :, None] * A).exp()
        state = state + (dt[:, t] * x[:, t])[..., None] * b[:, t, None]
        outputs.append((state * c[:, t, None]).sum(-1))
    return torch.cat((torch.stack(outputs, dim=1).flatten(), state.flatten()))


@pytest.mark.parametrize("T", [1, 2, 16, 45])
def test_chunks_equal_the_recurrence_and_so_do_their_gradients(T: int) -> None:
    torch.manual_seed(T)
    x, dt = torch.randn(2, T, 5, dtype=torch.float64), torch.rand(2, T, 5, dtype=torch.float64)
    b, c = torch.randn(2, 2, T, 3, dtype=torch.float64)
    A, state = -torch.rand(5, 3, dtype=torch.float64), torch.randn(2, 5, 1, 3, dtype=torch.float64)
    begins = random_begins(T)
    check_gradients(
        lambda *inputs: torch.cat([part.flatten() for part in selective_scan(*inputs, begins)]),
        lambda *inputs: recurrence(*inputs, begins),
        (x, dt, A, b, c, state),
    )
