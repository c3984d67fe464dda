"""Initial time steps of state spaces."""

from math import log

import torch
from torch import Tensor

INITIAL_TIME_STEPS = (0.001, 0.1)


@torch.no_grad()
def draw_time_steps(bias: Tensor) -> None:
    """Draw the biases of time steps in place, which become log-uniform from 0.001 to 0.1 (arXiv 2312.00752, section 3.6)."""
    if not bias.is_meta:
        low, high = INITIAL_TIME_STEPS
        bias.uniform_(log(low), log(high)).exp_()
        bias += torch.log(-torch.expm1(-bias))  # the inverse of softplus
