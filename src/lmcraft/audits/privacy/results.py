"""What a privacy audit found: figures of attacks, lower bounds on epsilon, checks of the private step."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lmcraft.privacy.guarantee import Guarantee
from lmcraft.statistics.intervals import Metric

VERSION = 1
ThreatModel = Literal["final weights", "every step"]
Attacked = Literal["membership", "extraction", "exposure", "canaries"]


@dataclass(frozen=True)
class Statement:
    """A sentence for people, with values in place of {name}; reports say it in their language."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format(**self.values)


@dataclass(frozen=True)
class PrivacyFigure:
    """What one attack got."""

    kind: Attacked
    name: str
    """What was measured, such as the area under the ROC curve."""
    title: Statement
    """What it was measured on."""
    metric: Metric
    count: int
    """Documents or canaries."""
    chance: float | None = None
    """Its value for a model that knows nothing; None: there is none."""


@dataclass(frozen=True)
class EpsilonBound:
    """A lower bound on epsilon."""

    threat_model: ThreatModel
    """What the attacker sees."""
    method: str
    epsilon: float
    detail: Statement
    """What it follows from."""


@dataclass(frozen=True)
class StepCheck:
    """A part of the private step, as it is claimed and as it was measured."""

    name: str
    claimed: Statement
    measured: Statement
    passed: bool


@dataclass(frozen=True)
class PrivacyAudit:
    """All that an audit found."""

    model: str
    weights: str
    """Hash of the weights that were attacked."""
    claim: Guarantee | None
    confidence: float
    """Of each bound."""
    figures: Sequence[PrivacyFigure] = ()
    bounds: Sequence[EpsilonBound] = ()
    checks: Sequence[StepCheck] = ()
    notes: Sequence[Statement] = ()
    """What could not be measured, and why."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def strongest(self) -> EpsilonBound | None:
        """The highest of the lower bounds."""
        return max(self.bounds, key=lambda bound: bound.epsilon, default=None)

    @property
    def passed(self) -> bool | None:
        """Whether nothing contradicts the claim; None: there is no claim."""
        if self.claim is None:
            return None
        exceeded = any(bound.epsilon > self.claim.epsilon for bound in self.bounds)
        return not exceeded and all(check.passed for check in self.checks)

    def describe_failure(self) -> str:
        """Why the audit fails, in a sentence; empty if it does not."""
        if self.passed is not False or self.claim is None:
            return ""
        reasons = [
            f"{check.name}: claimed {check.claimed}, measured {check.measured}" for check in self.checks if not check.passed
        ]
        strongest = self.strongest
        if strongest is not None and strongest.epsilon > self.claim.epsilon:
            reasons.insert(0, f"epsilon is at least {strongest.epsilon:.3g} ({strongest.method})")
        return f"the audit of '{self.model}' contradicts its claim of epsilon {self.claim.epsilon:.3g}: {'; '.join(reasons)}"

    def to_json(self) -> dict[str, Any]:
        """As the contents of audit.json."""
        strongest = self.strongest
        return {
            "version": VERSION,
            "model": self.model,
            "weights": self.weights,
            "claimed_epsilon": None if self.claim is None else self.claim.epsilon,
            "delta": None if self.claim is None else self.claim.delta,
            "audited_epsilon": None if strongest is None else strongest.epsilon,
            "confidence": self.confidence,
            "threat_model": "" if strongest is None else strongest.threat_model,
            "passed": self.passed,
            "figures": [
                {
                    "name": figure.name,
                    "title": str(figure.title),
                    "kind": figure.kind,
                    **asdict(figure.metric),
                    "count": figure.count,
                    "chance": figure.chance,
                }
                for figure in self.figures
            ],
            "bounds": [{**asdict(bound), "detail": str(bound.detail)} for bound in self.bounds],
            "checks": [
                {**asdict(check), "claimed": str(check.claimed), "measured": str(check.measured)} for check in self.checks
            ],
            "notes": list(map(str, self.notes)),
            "settings": dict(self.settings),
        }
