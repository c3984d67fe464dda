"""Copies of a run: trained as it was, with canaries, or as shadow models with other coins (LiRA, arXiv 2112.03570).

Shapes: K shadow models, N canaries or documents.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.canaries import Canaries, redraw_coins
from lmcraft.folder import ModelFolder, is_model_folder
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run import run_pretraining
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.statistics.intervals import Floats
from lmcraft.terminal import PrintLine
from lmcraft.training.processes import Processes

COPY, SHADOWS = "copy", "shadow-{number}"
MIN_VARIANCE = 1e-12
DIGEST_DIGITS = 8


def train_copy(
    config: PretrainConfig,
    out: Path,
    print_line: PrintLine,
    *,
    canaries: int | Canaries,
    without: Sequence[int] = (),
) -> ModelFolder:
    """Train a copy of a run, unless an earlier audit has trained it.

    Args:
        config: of the run, resolved.
        out: model folder of the copy; the name of the folder ends with a hash of its settings.
        print_line: prints a line of progress.
        canaries: how many, or which.
        without: numbers of further documents that the copy does not read.

    Raises:
        UserError: `out` has a run with other settings, or the text is too short for the canaries.
        InterruptedRunError: a signal stopped the run; the same audit continues it.
        RunError: the loss is not a number, or the disk is full.
    """
    drawn = canaries if isinstance(canaries, Canaries) else None
    count = canaries if isinstance(canaries, int) else len(canaries.items)
    settings = replace(
        config,
        out=Path(),
        canaries=count,
        without=tuple(sorted({*config.without, *without})),
        time_budget=Duration(0),  # the number of steps stays
        energy_budget=EnergyAmount(0),
        tasks=(),
        evaluate_every=0,
        snapshots=0,
        pause_at=0,
        sample_every=config.max_steps + 1,
        resume=False,
    )
    # other settings have another folder
    digest = hashlib.sha256(f"{settings} {drawn}".encode()).hexdigest()[:DIGEST_DIGITS]
    folder = ModelFolder(out.with_name(f"{out.name}-{digest}"))
    settings = replace(settings, out=folder.path, resume=folder.config_toml.is_file())
    if is_model_folder(folder.path) and PretrainConfig.from_toml(folder.config_toml) == replace(settings, resume=False):
        return folder
    return run_pretraining(settings, Processes(), print_line, canaries=drawn)


@dataclass(frozen=True)
class Shadows:
    """Scores by models that were trained with other coins."""

    scores: Floats
    """(K, N)."""
    included: NDArray[np.bool_]
    """Whether each was in the data of a model, (K, N)."""

    def likelihood_ratios(self, scores: Floats) -> Floats:
        """How much likelier scores of another model are if the item was in its data, (N,), as logarithms.

        The scores are taken to be normal, with means of each item's own and common variances; 0 where all models or none
        have read an item.
        """
        inside, outside = (_group(self.scores, mask) for mask in (self.included, ~self.included))
        far, near = (scores - outside.means) ** 2 / outside.variance, (scores - inside.means) ** 2 / inside.variance
        ratios: Floats = np.nan_to_num(far - near) / 2
        return ratios

    def differences(self, scores: Floats) -> Floats:
        """By how much scores of another model are above the mean of the models that have not read the item, (N,).

        0 where all of them have.
        """
        differences: Floats = np.nan_to_num(scores - _group(self.scores, ~self.included).means)
        return differences


@dataclass(frozen=True)
class _Group:
    means: Floats
    """Of each item, (N,); NaN where the group is empty."""
    variance: float


def _group(scores: Floats, mask: NDArray[np.bool_]) -> _Group:
    counts = mask.sum(axis=0)
    sums = np.where(mask, scores, 0).sum(axis=0)
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    residuals = np.where(mask, scores - np.where(counts > 0, means, 0), 0)
    degrees = max(1, int((counts - 1).clip(min=0).sum()))
    return _Group(means, max(MIN_VARIANCE, float((residuals**2).sum()) / degrees))


def train_shadows(
    config: PretrainConfig,
    out: Path,
    count: int,
    print_line: PrintLine,
    *,
    canaries: Canaries | None,
    documents: Sequence[int],
    unread: int,
    score: Callable[[ModelFolder], Floats],
    seed: int,
) -> Shadows:
    """Train shadow models, each on its own random half of the documents and of the canaries, and score all with each.

    Args:
        config: of the run, resolved.
        out: folder of their folders.
        count: K.
        print_line: prints a line of progress.
        canaries: of the run, if it has some.
        documents: numbers of training documents.
        unread: further documents, which no model reads.
        score: the scores of the canaries, the documents and the further ones by the model of a folder, (N,).
        seed: of the halves.

    Raises:
        UserError, RunError, InterruptedRunError: as in `train_copy`.
    """
    scores, included = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        drawn = None if canaries is None else redraw_coins(canaries, int(rng.integers(1 << 31)))
        kept = rng.random(len(documents)) < 0.5
        without = [document for document, is_kept in zip(documents, kept, strict=True) if not is_kept]
        copy = out / SHADOWS.format(number=number)
        print_line(f"shadow model {number + 1} of {count}")
        folder = train_copy(config, copy, print_line, canaries=drawn or 0, without=without)
        coins = [] if drawn is None else [item.included for item in drawn.items]
        scores.append(score(folder))
        included.append(np.array([*coins, *kept, *[False] * unread], np.bool_))
    return Shadows(np.stack(scores), np.stack(included))
