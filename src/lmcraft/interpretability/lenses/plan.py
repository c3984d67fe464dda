"""Which directions go back through which prompt: two halves of the prompts, each with whole random orthonormal bases.

If v runs through an orthonormal basis, the sum of v (v^T J) is J. Each direction of a basis goes back through another prompt
(its prompt's J), so the sum is an unbiased estimate of the mean J, exact for what all prompts have in common. The halves are
independent, and their difference tells the error of the whole.

Shapes: K directions, C width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from lmcraft.errors import UserError

Report = Callable[[int, int], object]
"""Gets what is done, and of how much."""
MIN_PROMPTS = 2
MAX_SKIPPED = 16  # positions, as in the paper's code


@dataclass(frozen=True)
class FitSettings:
    """How a lens is fitted."""

    prompts: int = 100
    """Number of prompts; fewer if the texts have fewer."""
    prompt_tokens: int = 128
    """Tokens of a prompt at most."""
    directions: int = 12
    """Directions of the output that go back through each prompt, about; with the model's width or more, its Jacobians are
    exact."""
    seed: int = 0

    def check(self) -> None:
        """Raise UserError if a number is too small."""
        for name, least in (("prompts", MIN_PROMPTS), ("prompt_tokens", 4), ("directions", 1)):
            if (value := getattr(self, name)) < least:
                raise UserError(f"{name}={value} is too small: set at least {least}")

    def within(self, context: int) -> "FitSettings":
        """The same for a model whose context may be shorter."""
        return replace(self, prompt_tokens=min(self.prompt_tokens, context))

    @property
    def skipped(self) -> int:
        """Positions at the beginning of a prompt that do not count."""
        return min(MAX_SKIPPED, self.prompt_tokens // 4)


@dataclass(frozen=True)
class Batch:
    """Prompts of one half that go through the model together."""

    half: int
    prompts: Sequence[int]
    """Their numbers."""
    directions: Sequence[range]
    """Of each prompt, the directions, as numbers within the half's bases."""


@dataclass(frozen=True)
class Plan:
    """All batches of a fit.

    Args:
        prompts: number of prompts.
        width: of the model.
        settings: those of the fit.
    """

    prompts: int
    width: int
    settings: FitSettings

    @property
    def is_exact(self) -> bool:
        """Whether each prompt gets a whole basis."""
        return self.settings.directions >= self.width

    def sweeps(self, half: int) -> int:
        """Bases of a half."""
        count = len(self._members(half))
        return count if self.is_exact else max(1, round(count * self.settings.directions / self.width))

    @property
    def directions(self) -> int:
        """Directions of both halves."""
        return (self.sweeps(0) + self.sweeps(1)) * self.width

    def _members(self, half: int) -> range:
        return range(half, self.prompts, 2)

    def batches(self, size: int) -> list[Batch]:
        """The batches of up to `size` prompts, the halves in turn."""
        halves = [self._batches(half, size) for half in (0, 1)]
        longest = max(map(len, halves))
        return [batches[number] for number in range(longest) for batches in halves if number < len(batches)]

    def _batches(self, half: int, size: int) -> list[Batch]:
        members, total = self._members(half), self.sweeps(half) * self.width
        borders = [total * number // len(members) for number in range(len(members) + 1)]
        parts = [range(first, last) for first, last in pairwise(borders)]
        pairs = [(prompt, part) for prompt, part in zip(members, parts, strict=True) if part]
        groups = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        return [Batch(half, [prompt for prompt, _ in group], [part for _, part in group]) for group in groups]

    def directions_of(self, half: int, numbers: range) -> Tensor:
        """Unit vectors, (K, C)."""
        rows = [self._basis(half, number // self.width)[number % self.width] for number in numbers]
        return torch.stack(rows)

    def _basis(self, half: int, sweep: int) -> Tensor:
        if self.is_exact:
            return torch.eye(self.width)
        return _random_basis(self.width, self.settings.seed, half, sweep)


@lru_cache(maxsize=4)
def _random_basis(width: int, seed: int, half: int, sweep: int) -> Tensor:
    """A uniformly random orthonormal basis, (C, C), its vectors in the rows (arXiv math-ph/0609050, section 5)."""
    generator = torch.Generator().manual_seed((seed * 2 + half) * 1_000_003 + sweep)
    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    basis: Tensor = (q * r.diagonal().sign()).T.float()
    return basis
