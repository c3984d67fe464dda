"""A text through the snapshots and checkpoints of a run, and the step at which its model learned to copy."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.attention.checks import MIN_SCORE, check_induction
from lmcraft.interpretability.attention.head_scores import (
    HeadScores,
    RepeatedTokens,
    measure_repetition_gain,
    measure_scores,
    repeat_tokens,
)
from lmcraft.interpretability.explanation import Check, Training, TrainingStep
from lmcraft.interpretability.surprise import measure_surprise
from lmcraft.language_model import LanguageModel
from lmcraft.training.checkpoint import STEP_FOLDER, Checkpoints

MIN_STEPS = 2


def list_saved_models(folder: ModelFolder) -> dict[int, Path]:
    """The snapshots of a run, and its checkpoints, by step, in order."""
    checkpoints = Checkpoints(folder)
    models = {step: checkpoints.path(step) for step in checkpoints.steps()}
    for path in folder.snapshots.glob("step-*"):
        if path.is_dir() and (match := re.fullmatch(STEP_FOLDER, path.name)):
            models[int(match[1])] = path
    return dict(sorted(models.items()))


def follow_training(
    folder: ModelFolder,
    ids: Sequence[int],
    *,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Training:
    """How a run learned a text, and to copy.

    Args:
        folder: of the run.
        ids: the tokens of the text.
        seed: of the random tokens on which heads are scored, and of what the check compares with.
        on_step: called after each saved model with the number of those that are done, and of all.

    Raises:
        UserError: the folder keeps fewer than two models of the run, one of them is damaged, or the text is too long.
    """
    models = list_saved_models(folder)
    if len(models) < MIN_STEPS:
        raise UserError(
            f"'{folder.path}' keeps {len(models)} of the models along its run: train with --snapshots 20 to keep more"
        )
    steps: list[TrainingStep] = []
    scores: dict[int, HeadScores] = {}
    for done, (step, path) in enumerate(models.items(), 1):
        model = LanguageModel.load(path, tier="eager")
        tokens = repeat_tokens(model.tokenizer, model.transformer, seed=seed)
        scores[step] = measure_scores(model.transformer, tokens)
        steps.append(_measure_step(model, step, ids, tokens, scores[step]))
        on_step(done, len(models))
    formation = find_formation(steps)
    if formation is None:
        return Training(steps, None)
    check = _check_formation(models[formation], formation, scores[formation], seed)
    return Training(steps, formation, [check] if check else [])


def find_formation(steps: Sequence[TrainingStep]) -> int | None:
    """The first step whose induction score is above half of the highest; None if no head ever copies."""
    highest = max(step.induction for step in steps)
    if highest < MIN_SCORE:
        return None
    return next(step.step for step in steps if step.induction > highest / 2)


def _measure_step(
    model: LanguageModel, step: int, ids: Sequence[int], tokens: RepeatedTokens, scores: HeadScores
) -> TrainingStep:
    surprise = measure_surprise(model, ids)
    nats = [value for value in surprise.nats if value is not None]
    return TrainingStep(
        step=step,
        nats_per_token=sum(nats) / max(1, len(nats)),
        induction=float(scores.induction.max()),
        previous_token=float(scores.previous_token.max()),
        induction_loss_gap=measure_repetition_gain(model.transformer, tokens),
        next_tokens=surprise.next_tokens,
        surprise=surprise.nats,
    )


def _check_formation(path: Path, step: int, scores: HeadScores, seed: int) -> Check | None:
    """Whether the heads of the step at which induction forms are what makes repetition help."""
    model = LanguageModel.load(path, tier="eager")
    fresh = repeat_tokens(model.tokenizer, model.transformer, seed=seed + 1)
    check = check_induction(model.transformer, scores, fresh, seed=seed)
    return check and replace(check, subject=f"{check.subject} of step {step}")
