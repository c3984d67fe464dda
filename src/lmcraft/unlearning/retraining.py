"""The exact method: the same run again, without some documents.

A batch depends only on the seed and the step, so the new run computes what the old one would have computed if end tokens had
stood in place of the documents: up to the step that read them first, its losses are the same to the bit.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.training.run_log import read_log


def config_without(run: TrainingRun, numbers: Collection[int], out: Path) -> PretrainConfig:
    """The settings of the run without documents, in another folder."""
    without = tuple(sorted({*numbers, *run.config.without}))
    return replace(
        run.config,
        out=out,
        without=without,
        time_budget=Duration(0),  # the number of steps stays
        energy_budget=EnergyAmount(0),
        tasks=(),
        evaluate_every=0,
        pause_at=0,
        resume=False,
    )


def seconds_of(folder: ModelFolder) -> float:
    """The time that the steps of a run took, as it logged it; 0: unknown."""
    return max((row["seconds"] for row in read_log(folder.metrics) if "seconds" in row), default=0.0)


def reads_any(run: TrainingRun, numbers: Collection[int]) -> bool:
    """Whether a step of a run has a token of the documents among its inputs or its targets."""
    end, chosen = run.dataset.token_manifest().get("eos_token_id") or 0, torch.tensor(sorted(numbers))
    for step in range(run.steps):
        batch, documents = run.batch(step), run.input_documents(step)
        is_read = torch.isin(documents, chosen) & (batch.input_ids != end)
        if is_read.any() or torch.isin(batch.documents, chosen).any():
            return True
    return False


def count_same_losses(original: ModelFolder, retrained: ModelFolder) -> int:
    """The number of first steps whose losses are the same in both runs, to the bit."""
    first, second = (
        {row["step"]: row["loss"] for row in read_log(folder.metrics) if "loss" in row} for folder in (original, retrained)
    )
    count = 0
    while count + 1 in first and first[count + 1] == second.get(count + 1):
        count += 1
    return count
