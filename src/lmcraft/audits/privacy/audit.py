"""A privacy audit of the run of a model folder: what can be measured, and why the rest cannot."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lmcraft.audits.privacy.attacks import (
    canary_bounds,
    canary_figures,
    extraction_figures,
    membership_figures,
    separation_figures,
)
from lmcraft.audits.privacy.copies import COPY, train_copy, train_shadows
from lmcraft.audits.privacy.documents import sample_documents
from lmcraft.audits.privacy.exposure import score_canaries
from lmcraft.audits.privacy.mechanism import MechanismAudit, audit_mechanism
from lmcraft.audits.privacy.membership import attack_scores, score_tokens
from lmcraft.audits.privacy.one_run import CONFIDENCE
from lmcraft.audits.privacy.results import EpsilonBound, PrivacyFigure, Statement
from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import TokenSplit
from lmcraft.data.splits import TRAIN
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import read_settings
from lmcraft.machine import Machine
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.privacy.accounting import default_delta
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.statistics.intervals import Floats
from lmcraft.terminal import PrintLine
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.dp.gradients import PrivateGradients

UNLIKE = Statement(
    "The held-out documents are the end of the text, so attacks may tell texts apart rather than what was read: for a fair "
    "comparison prepare with --split hash, or train with --without."
)
TOO_SHORT = "Extraction was not measured, since no document has {tokens} tokens."
NO_CANARIES = Statement(
    "The run has no canaries, so exposure was not measured, and nothing bounds epsilon from the final weights: train with "
    "--canaries, or audit with --retrain."
)
REPEATED = Statement(
    "Some canaries were read several times an epoch, so the bounds from final weights are those of documents that are "
    "repeated as often."
)


@dataclass(frozen=True)
class AuditedRun:
    """The run of a model folder."""

    folder: ModelFolder
    config: PretrainConfig
    """With the data where they are now."""
    steps: int
    """That made the weights."""
    claim: Guarantee | None
    canaries: Canaries | None

    @classmethod
    def open(cls, folder: ModelFolder, data: Path | None = None) -> "AuditedRun":
        """Read what the run of a folder was.

        Raises:
            UserError: no run of lmcraft made the folder, its data are not here or have changed, or a file is damaged.
        """
        config, steps = read_settings(folder, data)
        return cls(folder, config, steps, Guarantee.read(folder), Canaries.read(folder.canaries))

    @property
    def delta(self) -> float:
        """Of the claim, or the usual one for so many documents."""
        return self.claim.delta if self.claim else default_delta(TokenSplit(self.config.data, TRAIN).documents)

    @property
    def rows_read(self) -> int | None:
        """By the steps that made the weights; None if each step drew documents at random."""
        return None if self.claim else self.steps * self.config.batch_size

    @property
    def times_read(self) -> list[int] | None:
        """How often training read each canary; None if it drew them at random, or there are none."""
        if self.canaries is None or not self.canaries.period or self.rows_read is None:
            return None
        return self.canaries.times_read(self.rows_read)


@dataclass
class Findings:
    """What attacks on final weights got."""

    figures: list[PrivacyFigure] = field(default_factory=list)
    bounds: list[EpsilonBound] = field(default_factory=list)
    notes: list[Statement] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Add what another attack got."""
        self.figures += other.figures
        self.bounds += other.bounds
        self.notes += other.notes


def attack_documents(
    run: AuditedRun, model: Transformer, tokenizer: Tokenizer, *, documents: int, extraction_tokens: int, seed: int
) -> Findings:
    """Tell documents that training read from others, and extract their texts.

    Raises:
        UserError: the dataset has no held-out text, or a shard is damaged.
    """
    sample = sample_documents(run.config, run.rows_read, documents, seed)
    members, others = score_tokens(model, sample.members), score_tokens(model, sample.others)
    texts = {True: sample.members, False: sample.others}
    figures = [
        *membership_figures(members, others, lambda is_member: tokenizer.decode_batch(texts[is_member])),
        *extraction_figures(members, others, extraction_tokens),
    ]
    notes = [] if sample.is_like else [UNLIKE]
    if not any(figure.kind == "extraction" for figure in figures):
        notes.append(Statement(TOO_SHORT, {"tokens": 2 * extraction_tokens + 1}))
    return Findings(figures, notes=notes)


def attack_canaries(run: AuditedRun, model: Transformer) -> Findings:
    """Measure the exposure of canaries, and guess their coins."""
    if run.canaries is None:
        return Findings(notes=[NO_CANARIES])
    scores = score_canaries(model, run.canaries)
    figures = canary_figures(run.canaries, scores, run.times_read)
    repeated = max(item.repetitions for item in run.canaries.items) > 1
    return Findings(
        figures,
        canary_bounds(run.canaries, scores.scores, run.delta, CONFIDENCE),
        [REPEATED] if repeated else [],
    )


def attack_with_shadows(
    run: AuditedRun, model: Transformer, count: int, out: Path, print_line: PrintLine, *, documents: int, seed: int
) -> Findings:
    """Compare the scores of documents and canaries with those that models with other coins give them.

    Raises:
        UserError, RunError, InterruptedRunError: as in `train_copy`.
    """
    sample = sample_documents(run.config, run.rows_read, documents, seed)
    numbers = [] if run.claim else sample.member_numbers  # a private run reads all documents
    texts = [*sample.members, *sample.others] if numbers else []
    canaries = run.canaries
    first_document = 0 if canaries is None else len(canaries.items)

    def score(model: Transformer) -> Floats:
        secrets = np.empty(0) if canaries is None else score_canaries(model, canaries).scores
        return np.concatenate([secrets, attack_scores(score_tokens(model, texts))])

    shadows = train_shadows(
        run.config,
        out,
        count,
        print_line,
        canaries=canaries,
        documents=numbers,
        unread=len(texts) - len(numbers),
        score=lambda folder: score(load_model(folder.path, device=model.device)),
        seed=seed,
    )
    own = score(model)
    title, findings = Statement("LiRA, {count} shadow models", {"count": count}), Findings()
    if canaries is not None:
        coins = np.array([item.included for item in canaries.items])
        ratios = shadows.likelihood_ratios(own)[:first_document]
        findings.figures += separation_figures("canaries", title, ratios[coins], ratios[~coins])
        findings.bounds += canary_bounds(canaries, ratios, run.delta, CONFIDENCE, suffix=", LiRA")
    if numbers:
        differences = shadows.differences(own)[first_document:]
        findings.figures += separation_figures("membership", title, differences[: len(numbers)], differences[len(numbers) :])
    return findings


def audit_step(run: AuditedRun, model: Transformer, machine: Machine, *, seconds: float, seed: int) -> MechanismAudit | None:
    """Measure the private step of the run with the weights that are audited; None if it was not private.

    Raises:
        UserError: the run cannot be opened any more.
    """
    if run.claim is None:
        return None
    private = PretrainingRun.open(run.config, machine, run.folder).with_privacy(None)
    trainer = private.build_trainer()
    trainer.model.load_state_dict(model.state_dict())
    assert isinstance(trainer.source, PrivateGradients)
    return audit_mechanism(trainer.source, run.claim, seconds=seconds, seed=seed)


def train_with_canaries(run: AuditedRun, count: int, out: Path, print_line: PrintLine) -> AuditedRun:
    """A copy of the run whose data has canaries.

    Raises:
        UserError, RunError, InterruptedRunError: as in `train_copy`.
    """
    folder = train_copy(run.config, out / COPY, print_line, canaries=count)
    return AuditedRun.open(folder, run.config.data)
