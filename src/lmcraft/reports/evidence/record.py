"""The evidence of a model folder: types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Literal

from lmcraft.reports.evidence.figure import Figure

MAX_EXPONENT = 700  # of a float
Kind = Literal["text-generation", "text-classification", "reward"]


@dataclass(frozen=True)
class Architecture:
    """What the model is."""

    rows: Mapping[str, str]
    """For people: layers, attention, context, vocabulary."""
    parameters: Figure
    has_chat_template: bool
    is_portable: bool
    """Whether transformers, or PEFT for an adapter, opens the folder."""


@dataclass(frozen=True)
class Source:
    """A source of a dataset."""

    name: str
    license: str
    """Empty: nobody stated one."""
    documents: Figure | None
    bytes: Figure | None
    share: Figure | None
    """Share of what the run read; None: it had one source, or the mixture was not recorded."""
    epochs: Figure | None


@dataclass(frozen=True)
class Stage:
    """A stage of a preparation: what it removed."""

    kind: str
    name: str
    removed: Figure | None
    """Number of documents that it removed."""
    personal_data: Mapping[str, Figure]
    """Number of values that it scrubbed, by kind."""


@dataclass(frozen=True)
class Dataset:
    """A dataset that the model was trained on."""

    role: str
    name: str
    address: str
    manifest_sha256: str
    """Empty: it is not a dataset folder."""
    sha256: str
    """Of its lineage."""
    tokens: Figure | None
    """Of the training split."""
    documents: Figure | None
    validation_tokens: Figure | None
    sources: Sequence[Source]
    licenses: Mapping[str, Figure]
    """Documents by license."""
    languages: Mapping[str, Figure]
    """Documents by language, if the preparation told them apart."""
    stages: Sequence[Stage]
    decontaminated: Mapping[str, Any]
    """What the preparation removed because tests contain it."""


@dataclass(frozen=True)
class Training:
    """A run."""

    command: Literal["pretrain", "finetune"]
    objective: str
    settings: Mapping[str, Any]
    """Of run.toml, nested as there."""
    settings_file: str
    starts: int
    """How often the run was started or resumed."""
    state: str
    """running, paused, stopped, finished, failed, or empty if no status.json says."""
    rows: Sequence[Mapping[str, Any]]
    """Of metrics.jsonl."""
    samples: Sequence[Mapping[str, Any]]
    """Of samples.jsonl."""
    figures: Mapping[str, Figure]
    """By key: steps, tokens, seconds, loss, validation_loss, best_step, bits_per_byte, tokens_per_second, peak_memory."""
    machine: str
    """The hardware, for people; empty if unknown."""


@dataclass(frozen=True)
class Change:
    """A measure on held-out data before and after fine-tuning."""

    name: str
    before: Figure | None
    after: Figure | None


@dataclass(frozen=True)
class TaskEvaluation:
    """The results of `lmcraft evaluate` on a task."""

    task: str
    kind: str
    description: str
    language: str
    origin: str
    """Where the task's data come from."""
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    """The first is the main one."""
    chance: Figure | None
    overlap: Figure | None
    """Number of items that the training data contain; None: not checked."""
    clean_figures: Sequence[Figure]
    """The figures without these items."""
    file: str
    """The record with the figures."""
    items: Figure | None
    """Number of items, and the file with the result of each one."""
    time: str
    """When it was measured, in ISO 8601."""


@dataclass(frozen=True)
class SafetyGap:
    """How far groups of people are apart in one figure."""

    source: str
    """What it was measured on."""
    attribute: str
    lowest: str
    """The group with the lowest mean."""
    highest: str
    gap: Figure
    """The highest mean less the lowest."""
    expected: Figure | None
    """The gap that chance alone makes."""
    p_value: float | None
    """Adjusted for the number of gaps."""


@dataclass(frozen=True)
class Safety:
    """The safety audit."""

    figures: Sequence[tuple[str, Figure]]
    """With the title of what each was measured on."""
    gaps: Sequence[SafetyGap]
    parts: Sequence[str]
    """What was measured: toxicity, attacks, over_refusal, groups, perplexity."""
    scorer_hash: str
    settings: Mapping[str, Any]
    failed: Sequence[str]
    reference: str
    file: str
    is_complete: bool
    """False if the audit asked a sample of the prompts."""


@dataclass(frozen=True)
class DifferentialPrivacy:
    """The guarantee that the weights were trained with."""

    unit: str
    """What one data set has more than the other: document or example."""
    epsilon: Figure
    """Spent by the steps."""
    delta: Figure
    target_epsilon: Figure | None
    units: Figure | None
    """Number of units in the training data."""
    figures: Sequence[Figure]
    """How it was reached: sampling rate, noise, clipping, steps."""
    accountant: str
    file: str

    @property
    def most_guesses(self) -> float:
        """The share of right guesses, at most, of somebody who sees the weights and guesses whether a unit was in the data.

        Both answers are equally likely beforehand (arXiv 1311.0776, theorem 2.1).
        """
        odds, delta = exp(min(float(self.epsilon.value), MAX_EXPONENT)), float(self.delta.value)
        return min(1.0, (odds + delta) / (1 + odds))


@dataclass(frozen=True)
class PrivacyAudit:
    """What attacks on the weights got out of them."""

    figures: Sequence[tuple[str, Figure]]
    """With the title of each attack."""
    claimed: Figure | None
    """The epsilon of the guarantee; None: there was none to audit."""
    audited: Figure | None
    """The lower bound on epsilon that the attacks prove."""
    confidence: float | None
    """Of the lower bound."""
    threat_model: str
    """What the attacker of the lower bound sees."""
    passed: bool | None
    """Whether the attacks got no more than the guarantee allows; None: the audit does not say."""
    file: str


@dataclass(frozen=True)
class EnergyUse:
    """The energy of the run, and of what was measured later."""

    energy: Figure
    """In joules, with its interval."""
    emissions: Figure | None
    """In grams of CO2 equivalent."""
    method: str
    region: str
    year: str
    source: str
    """Of the carbon intensity."""
    per_token: Figure | None
    """Joules per token."""
    per_1000_queries: Figure | None
    """Wh."""
    wasted: Figure | None
    """Share of the energy of steps that do not count."""
    rows: Sequence[Mapping[str, Any]]
    """Of energy.json, one per start."""
    file: str


@dataclass(frozen=True)
class Parent:
    """A model that another was made from."""

    role: str
    """base, teacher, reference, ..."""
    address: str
    """Where it was: a path or an address; empty if unknown."""
    sha256: str
    """Of its lineage."""
    made_by: str = ""
    """The command that made it, if its lineage says."""
    source: str = ""
    """The address that it was downloaded from, if it was."""
    license: str = ""
    data: Sequence[str] = ()
    """Names of the datasets and files that it was made from."""
    parents: Sequence["Parent"] = ()

    @property
    def name(self) -> str:
        """The last part of its address, which names nobody's folders."""
        return (self.source or self.address).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Quantization:
    """What quantization cost."""

    bits: int
    method: str
    text: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Missing:
    """What was not measured, or not stated."""

    id: str
    sentence: str
    """For people, with how to measure or state it."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a model folder knows about its model."""

    name: str
    kind: Kind
    is_adapter: bool
    architecture: Architecture | None
    license: str
    """As its publisher stated it; empty: nobody did."""
    address: str
    """Where the model was downloaded from; empty: it was made here."""
    made_by: str
    """The command that wrote the folder: pretrain, finetune, quantize, export, pull; empty if its lineage does not say."""
    created: str
    lmcraft_version: str
    lineage_sha256: str
    parents: Sequence[Parent]
    datasets: Sequence[Dataset]
    training: Training | None
    tuning: Sequence[Change]
    evaluations: Sequence[TaskEvaluation]
    outdated: Sequence[str]
    """Files of results that other weights had, and that are left out."""
    safety: Safety | None
    guarantee: DifferentialPrivacy | None
    privacy_audit: PrivacyAudit | None
    energy: EnergyUse | None
    later_energy: Mapping[str, EnergyUse]
    """By kind: of evaluations and audits."""
    quantization: Quantization | None
    missing: Sequence[Missing] = ()
    damaged: Sequence[str] = ()
    """A sentence for each file that could not be read."""

    def figures(self) -> list[Figure]:
        """All figures, each once."""
        return list({figure.id: figure for figure in _walk(self)}.values())


def _walk(value: Any) -> list[Figure]:
    if isinstance(value, Figure):
        return [value]
    if isinstance(value, Training):
        return list(value.figures.values())
    if hasattr(value, "__dataclass_fields__"):
        return [figure for name in value.__dataclass_fields__ for figure in _walk(getattr(value, name))]
    if isinstance(value, Mapping):
        return [figure for part in value.values() for figure in _walk(part)]
    if isinstance(value, list | tuple):
        return [figure for part in value for figure in _walk(part)]
    return []
