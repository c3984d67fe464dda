"""The privacy loss of DP-SGD: Poisson sampling, clipping and Gaussian noise, composed over the steps of a run.

- `budget.py`: epsilon of a run, the noise for an epsilon, the steps that it pays for, the delta to ask for
- `truncation.py`: rows of a batch of fixed shape, and what leaving out units beyond them costs
- `sampled_gaussian.py`: the mechanism of one step: its privacy loss, and the moments of it
- `prv.py`: tight composition: the distribution of the loss, convolved (Gopi et al. 2021)
- `rdp.py`: composition by Renyi divergences (Mironov 2017), looser

Data sets that differ by one unit, added or removed, are neighbors. All of it needs NumPy only.
"""

from lmcraft.privacy.accounting.budget import default_delta, noise_multiplier_for, spent_epsilon, steps_within
from lmcraft.privacy.accounting.rdp import rough_noise_multiplier
from lmcraft.privacy.accounting.truncation import max_rows_for

__all__ = [
    "default_delta",
    "max_rows_for",
    "noise_multiplier_for",
    "rough_noise_multiplier",
    "spent_epsilon",
    "steps_within",
]
