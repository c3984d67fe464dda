"""A privacy audit of the run of a model folder: what can be measured, and why the rest cannot."""

from dataclasses import dataclass, field
from pathlib import Path

from lmcraft.audits.privacy.attacks import canary_bounds, canary_figures, extraction_figures, membership_figures
from lmcraft.audits.privacy.documents import sample_documents
from lmcraft.audits.privacy.exposure import score_canaries
from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.audits.privacy.one_run import CONFIDENCE
from lmcraft.audits.privacy.results import EpsilonBound, PrivacyFigure
from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import TokenSplit
from lmcraft.data.splits import TRAIN
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.training_run import read_settings
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.privacy.accounting import default_delta
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.tokenizer.tokenizer import Tokenizer

UNLIKE = (
    "The held-out documents are the end of the text, so attacks may tell texts apart rather than what was read: for a fair "
    "comparison prepare with --split hash, or train with --without."
)
NO_CANARIES = (
    "The run has no canaries, so exposure was not measured, and nothing bounds epsilon from the final weights: train with "
    "--canaries, or audit with --retrain."
)
REPEATED = (
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
    notes: list[str] = field(default_factory=list)

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
        notes.append(f"Extraction was not measured: no document has {2 * extraction_tokens + 1} tokens.")
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
