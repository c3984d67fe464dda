"""What was forgotten, how, and what the tests say: the contents of `lmcraft/forgetting.json`.

Three models are compared: the original one, the one that is to have forgotten ("unlearned"), and one that never read the
documents ("retrained"), if it could be trained. By the exact method the last two are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lmcraft.audits.privacy.results import Statement
from lmcraft.statistics.intervals import Metric

Method = Literal["retrain", "approximate"]
ModelName = Literal["original", "unlearned", "retrained"]
VERSION = 1
CHANCE = 0.5
"""Area under the ROC curve of an attack that knows nothing."""


@dataclass(frozen=True)
class ForgottenText:
    """A document or a text that was forgotten; it is not quoted, so that the record does not keep it."""

    number: int | None
    """Of the training document; None: the text is in none."""
    sha256: str
    """Of the text in UTF-8."""
    tokens: int
    losses: Mapping[ModelName, float]
    """Mean loss of its tokens, in nats."""
    level: float | None
    """The loss that a model that never read it should have, by the estimate of the approximate method."""


@dataclass(frozen=True)
class Membership:
    """How well an attack tells texts from others by a model's outputs: the area under the ROC curve, 0.5 by chance."""

    attack: str
    members: str
    """Such as "original: forgotten"."""
    others: str
    area: Metric
    is_verdict: bool = False
    """Whether the area must be at chance: between the unlearned and the retrained model."""

    @property
    def is_at_chance(self) -> bool | None:
        """Whether the interval has 0.5; None without an interval."""
        low, high = self.area.low, self.area.high
        return None if low is None or high is None else low <= CHANCE <= high


@dataclass(frozen=True)
class Relearning:
    """Mean loss of the second halves of the texts while a model learns the first halves, and the difference of two."""

    steps: Sequence[int]
    curves: Mapping[str, Sequence[float]]
    """By what was learned: "unlearned", "retrained", and "unseen" texts by the unlearned model."""
    difference: Sequence[Metric]
    """At each step: of the mean loss between the unlearned and the retrained model (or unseen texts)."""
    reference: str
    """What the unlearned model is compared with: "retrained" or "unseen"."""

    @property
    def is_slow_enough(self) -> bool | None:
        """Whether the unlearned model's loss is nowhere below the reference's, beyond the interval; None without one."""
        return _is_nowhere_below_0(self.difference)


@dataclass(frozen=True)
class Probe:
    """Mean loss of the answers to questions of one kind, such as "paraphrase", in nats per token."""

    kind: str
    count: int
    losses: Mapping[ModelName, Metric]
    difference: Metric | None
    """Unlearned less retrained; negative: the unlearned model knows more."""


@dataclass(frozen=True)
class Exposure:
    """How far up the numbers of the texts rank among other numbers, in bits (arXiv 1802.08232)."""

    count: int
    """Number of texts with numbers."""
    alternatives: int
    by_chance: float
    bits: Mapping[ModelName, Metric]


@dataclass(frozen=True)
class Proof:
    """What the tests say."""

    membership: Sequence[Membership]
    relearning: Relearning | None
    probes: Sequence[Probe]
    exposure: Exposure | None
    perplexity: Mapping[ModelName, Metric]
    """On validation text, or on the texts that were retained."""
    cost: Metric | None
    """Of the mean loss on that text: unlearned less original, in nats per token."""
    first_read: int | None = None
    """The step that read the documents first, from 0."""
    same_losses: int | None = None
    """Number of first steps whose losses are the same in the original run and in the retraining, to the bit."""
    is_unread: bool | None = None
    """Of the exact method: whether no step of the new run reads a token of the documents, counted in its batches."""

    @property
    def verdicts(self) -> dict[str, bool]:
        """By test, whether the unlearned model passes it; tests that could not be done are left out.

        The exact method makes the retrained model itself, so what must hold is that its run did not read the documents; what
        attacks and relearning show of it is what they show of any model that never read them.
        """
        if self.is_unread is not None:
            return {"unread": self.is_unread}
        areas = [row.is_at_chance for row in self.membership if row.is_verdict]
        bits = None if self.exposure is None else self.exposure.bits["unlearned"].low
        verdicts = {
            "membership": None if None in areas or not areas else all(areas),
            "relearning": None if self.relearning is None else self.relearning.is_slow_enough,
            "probes": _is_nowhere_below_0([probe.difference for probe in self.probes if probe.difference is not None]),
            "exposure": None if bits is None or self.exposure is None else bits <= self.exposure.by_chance,
        }
        return {name: passed for name, passed in verdicts.items() if passed is not None}


def _is_nowhere_below_0(differences: Sequence[Metric]) -> bool | None:
    """Whether no difference is below 0, beyond its interval; None if none has an interval."""
    ends = [metric.high for metric in differences if metric.high is not None]
    return all(end >= 0 for end in ends) if ends else None


@dataclass(frozen=True)
class Forgetting:
    """What `lmcraft forget` did."""

    model: str
    method: Method
    texts: Sequence[ForgottenText]
    similar: Sequence[tuple[int, float]]
    """Other training documents that share text with a forgotten one: number, and share of its runs of tokens."""
    never_read: Sequence[int]
    """Documents that the run had not read when its weights were kept."""
    steps: int
    """That the method took."""
    seconds: float
    proof: Proof
    limits: Sequence[Statement]
    """What is not proved."""

    def to_json(self) -> dict[str, Any]:
        """The contents of the record."""
        return {"version": VERSION, **asdict(self), "verdicts": self.proof.verdicts, "passed": self.is_passed}

    @property
    def is_passed(self) -> bool:
        """Whether all tests that could be done are passed."""
        return all(self.proof.verdicts.values())
