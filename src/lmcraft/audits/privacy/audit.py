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
from lmcraft.audits.privacy.documents import score_sample
from lmcraft.audits.privacy.exposure import score_canaries
from lmcraft.audits.privacy.mechanism import MechanismAudit, audit_mechanism
from lmcraft.audits.privacy.membership import attack_scores, score_tokens
from lmcraft.audits.privacy.one_run import CONFIDENCE
from lmcraft.audits.privacy.results import EpsilonBound, PrivacyFigure, Statement
from lmcraft.audits.privacy.runs import AuditedRun, PretrainedRun, open_audited_run
from lmcraft.errors import UserError
from lmcraft.machine import Machine
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats
from lmcraft.terminal import PrintLine
from lmcraft.tokenizer.tokenizer import Tokenizer

UNLIKE = Statement(
    "The held-out documents are the end of the text, so attacks may tell texts apart rather than what was read: for a fair "
    "comparison prepare with --split hash, or train with --without."
)
MANY_DOCUMENTS = 100
FEW_OTHERS = "Only {count} other documents were there to compare with, so the intervals are wide: hold out more text."
NO_TEXT = Statement("Membership inference and extraction were not measured, since the model does not write text.")
TOO_SHORT = "Extraction was not measured, since no document has {tokens} tokens."
NO_CANARIES = Statement(
    "The run has no canaries, so exposure was not measured, and nothing bounds epsilon from the final weights: train with "
    "--canaries, or audit with --retrain."
)
REPEATED = Statement(
    "Some canaries were read several times an epoch, so the bounds from final weights are those of documents that are "
    "repeated as often."
)


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
    sample = run.sample(documents, seed)
    members, others = score_sample(model, sample.members), score_sample(model, sample.others)
    texts = {True: sample.members, False: sample.others}
    figures = [
        *membership_figures(
            members, others, lambda is_member: tokenizer.decode_batch([document.ids for document in texts[is_member]])
        ),
        *extraction_figures(members, others, extraction_tokens),
    ]
    notes = [] if sample.is_like else [UNLIKE]
    if len(sample.others) < MANY_DOCUMENTS:
        notes.append(Statement(FEW_OTHERS, {"count": len(sample.others)}))
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
    if not isinstance(run, PretrainedRun):
        raise UserError(
            f"shadow_models={count} needs a run of `lmcraft pretrain`, and '{run.folder.path}' was fine-tuned: leave it out"
        )
    sample = run.sample(documents, seed)
    numbers = [] if run.claim else sample.member_numbers  # a private run reads all documents
    texts = [document.ids for document in (*sample.members, *sample.others)] if numbers else []
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


def audit_step(run: AuditedRun, machine: Machine, *, seconds: float, seed: int) -> MechanismAudit | None:
    """Measure the private step of the run with the weights that are audited; None if it was not private.

    Raises:
        UserError: the run cannot be opened any more.
    """
    if run.claim is None:
        return None
    return audit_mechanism(run.open_step(machine), run.claim, seconds=seconds, seed=seed)


def train_with_canaries(run: AuditedRun, count: int, out: Path, print_line: PrintLine) -> AuditedRun:
    """A copy of the run whose data has canaries.

    Raises:
        UserError, RunError, InterruptedRunError: as in `train_copy`.
    """
    if not isinstance(run, PretrainedRun):
        raise UserError(
            f"retrain=True trains copies of runs of `lmcraft pretrain`, and '{run.folder.path}' was fine-tuned: leave it "
            "out, or fine-tune again with --objective continued --canaries"
        )
    folder = train_copy(run.config, out / COPY, print_line, canaries=count)
    return open_audited_run(folder, run.config.data)
