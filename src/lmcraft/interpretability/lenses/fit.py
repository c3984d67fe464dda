"""Fits a Jacobian lens; a fit that was stopped goes on where it was.

Shapes: L blocks, C width.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.interpretability.lenses.estimator import jacobian_rows
from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.interpretability.lenses.plan import MIN_PROMPTS, Batch, FitSettings, Plan, Report
from lmcraft.interpretability.lenses.prompts import Prompts
from lmcraft.language_model import LanguageModel
from lmcraft.model.tensor_file import save_tensors
from lmcraft.model.transformer import Transformer, copy_sharing_weights
from lmcraft.training.signals import StopRequest, stop_on_signals

PROMPTS_TOGETHER = 4
SECONDS_BETWEEN_SAVES = 60.0


def fit_jacobian_lens(
    model: LanguageModel,
    prompts: Prompts,
    settings: FitSettings | None = None,
    *,
    weights_sha256: str = "",
    state: Path | None = None,
    report: Report = lambda done, total: None,
) -> JacobianLens:
    """Fit the lens of a model.

    Args:
        model: the model; in float32 if its memory allows, since gradients lose bits in 16.
        prompts: as `cut_prompts` and `find_prompts` make them.
        settings: None: the defaults.
        weights_sha256: of the model's weights; kept in the lens.
        state: a file in which the fit is kept while it runs, and from which it goes on; removed at the end.
        report: called after each batch of prompts with the number of directions that are done.

    Raises:
        UserError: the model has one block, there are fewer than two prompts, or a setting is too small.
        RunError: the model's gradients are not numbers.
        InterruptedRunError: a signal stopped it; with `state`, the same call goes on.
    """
    settings = (settings or FitSettings()).within(model.transformer.config.max_position_embeddings)
    settings.check()
    transformer = copy_sharing_weights(model.transformer)
    if transformer.config.num_hidden_layers == 1:
        raise UserError("a model with one layer has no Jacobian lens: its logit lens is the model itself")
    if len(prompts.ids) < MIN_PROMPTS:
        raise UserError(
            f"the texts have only {len(prompts.ids)} of at least {MIN_PROMPTS} prompts with more than "
            f"{settings.skipped + 1} tokens: give longer texts, or more"
        )
    fit = _Fit(transformer, prompts.ids, settings)
    key = fit.key(weights_sha256)
    done = fit.load(state, key) if state else 0
    batches = fit.plan.batches(PROMPTS_TOGETHER)
    with stop_on_signals() as stop:
        _run(fit, batches, done, stop, state, key, report)
    if state:
        state.unlink(missing_ok=True)
    return JacobianLens(fit.mean(), fit.record(weights_sha256, prompts.source))


def _run(
    fit: "_Fit", batches: Sequence[Batch], done: int, stop: StopRequest, state: Path | None, key: str, report: Report
) -> None:
    saved_at, total = monotonic(), fit.plan.directions
    count = sum(len(part) for batch in batches[:done] for part in batch.directions)
    report(count, total)
    for number, batch in enumerate(batches[done:], done + 1):
        fit.add(batch)
        count += sum(map(len, batch.directions))
        report(count, total)
        is_last = number == len(batches)
        if state and not is_last and (stop or monotonic() - saved_at > SECONDS_BETWEEN_SAVES):
            fit.save(state, key, number)
            saved_at = monotonic()
        if stop and not is_last:
            kept = "they are kept, and the same command goes on" if state else "nothing is kept"
            raise InterruptedRunError(f"stopped after {count:,} of {total:,} directions: {kept}", stop.signal_number)


@dataclass
class _Fit:
    """The sums of a fit."""

    transformer: Transformer
    prompts: Sequence[Sequence[int]]
    settings: FitSettings

    def __post_init__(self) -> None:
        config = self.transformer.config
        width = config.hidden_size
        self.plan = Plan(len(self.prompts), width, self.settings)
        self.sums = torch.zeros(2, config.num_hidden_layers - 1, width, width)
        """For each half, the sum of v (v^T J_l)."""

    def add(self, batch: Batch) -> None:
        """Propagate the directions of a batch back."""
        longest = max(map(len, batch.directions))
        directions_BKC = torch.zeros(len(batch.prompts), longest, self.plan.width)
        for row, numbers in enumerate(batch.directions):
            directions_BKC[row, : len(numbers)] = self.plan.directions_of(batch.half, numbers)
        prompts = [self.prompts[number] for number in batch.prompts]
        rows_LBKC = jacobian_rows(self.transformer, prompts, directions_BKC, self.settings.skipped)
        if not bool(rows_LBKC.isfinite().all()):
            raise damaged_model_error(self.transformer)
        self.sums[batch.half] += directions_BKC.flatten(0, 1).T @ rows_LBKC.flatten(1, 2)

    def halves(self) -> Tensor:
        """The mean Jacobians of each half, (2, L - 1, C, C)."""
        return self.sums / torch.tensor([self.plan.sweeps(0), self.plan.sweeps(1)])[:, None, None, None]

    def mean(self) -> Tensor:
        """Of both halves, (L - 1, C, C)."""
        return self.halves().mean(0)

    def errors(self) -> list[float]:
        """For each block, the standard error of the mean, relative to its norm."""
        first, second = self.halves()
        return (_norm(first - second) / _norm(first + second)).tolist()

    def record(self, weights_sha256: str, source: str) -> FitRecord:
        return FitRecord(
            prompts=len(self.prompts),
            tokens=sum(map(len, self.prompts)),
            directions=self.plan.directions,
            is_exact=self.plan.is_exact,
            seed=self.settings.seed,
            texts=source,
            weights_sha256=weights_sha256,
            errors=self.errors(),
        )

    def key(self, weights_sha256: str) -> str:
        """Hash of all that decides the sums."""
        dtype = str(self.transformer.compute_dtype)
        contents = json.dumps([asdict(self.settings), [list(ids) for ids in self.prompts], weights_sha256, dtype])
        return hashlib.sha256(contents.encode()).hexdigest()

    def save(self, state: Path, key: str, done: int) -> None:
        save_tensors({"sums": self.sums}, state, {"key": key, "batches": str(done)})

    def load(self, state: Path, key: str) -> int:
        """The batches that are done; 0 if the file is of another fit, or damaged."""
        try:
            with safe_open(state, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("key") != key:
                    return 0
                sums, done = file.get_tensor("sums"), int(metadata["batches"])
        except (OSError, SafetensorError, ValueError, LookupError):
            return 0
        if sums.shape != self.sums.shape or not bool(sums.isfinite().all()):
            return 0
        self.sums = sums
        return done


def _norm(matrices: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(matrices, dim=(1, 2))
    return norms
