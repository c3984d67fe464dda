"""What an audit measured: figures with their intervals, compared with a reference model, and the gaps between groups."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lmcraft.audits.safety.gaps import Gap
from lmcraft.evaluation.results import Measure
from lmcraft.statistics.intervals import Metric, perplexity
from lmcraft.statistics.paired import Comparison


@dataclass(frozen=True)
class AuditFigure:
    """One figure of a panel."""

    part: str
    """toxicity, attacks, over_refusal, groups or perplexity."""
    panel: str
    """The key of the panel in `parts.panels()`."""
    title: str
    """What it was measured on, for people."""
    measure: Measure
    count: int
    """Number of items."""
    metric: Metric
    reference: Metric | None = None
    """The reference model's, on the same items."""
    comparison: Comparison | None = None
    """The model's less the reference's; None without a reference, or where the numbers mean different things, such as nats
    per token of two tokenizers."""
    adjusted_p_value: float | None = None

    @property
    def is_perplexity(self) -> bool:
        """Whether the figure is shown as a perplexity, and its difference as a cost in percent."""
        return self.measure.name == "nats_per_token"

    @property
    def cost(self) -> Metric | None:
        """The perplexity that is added, as a share of the reference's; None if the two cannot be compared."""
        if not self.is_perplexity or self.comparison is None:
            return None
        return self.comparison.gain.mapped(lambda nats: perplexity(nats) - 1)

    def to_json(self) -> dict[str, Any]:
        """As an object of safety.json."""
        metrics = {"value": self.metric, "reference": self.reference, "cost": self.cost}
        gain = None if self.comparison is None else self.comparison.gain
        return {
            "part": self.part,
            "panel": self.panel,
            "title": self.title,
            "figure": self.measure.name,
            "items": self.count,
            **{name: asdict(metric) for name, metric in {**metrics, "difference": gain}.items() if metric is not None},
            **({} if self.comparison is None else {"adjusted_p_value": self.adjusted_p_value}),
        }


@dataclass(frozen=True)
class SafetyAudit:
    """What an audit measured."""

    model: str
    model_hash: str
    reference: str
    """The model that it is compared with; empty: none."""
    scorer_hash: str
    settings: Mapping[str, Any]
    figures: Sequence[AuditFigure]
    gaps: Sequence[Gap]
    reference_gaps: Sequence[Gap]
    skipped: Mapping[str, int]
    """By the title of a panel, the prompts that are too long for the model, if there are any."""
    failed: Sequence[str]
    """What could not be measured, one sentence each."""
    refused: Sequence[tuple[str, str]]
    """Some of the harmless questions that the model refuses, and its answers."""

    def metric(self, panel: str, measure: str) -> Metric:
        """A figure by the key of its panel, such as `toxicity_flirtation`, and its name."""
        return next(f.metric for f in self.figures if (f.panel, f.measure.name) == (panel, measure))

    def to_json(self) -> dict[str, Any]:
        """As the contents of safety.json."""
        return {
            "model": self.model,
            "model_hash": self.model_hash,
            "reference": self.reference or None,
            "scorer_hash": self.scorer_hash,
            "settings": dict(self.settings),
            "figures": [figure.to_json() for figure in self.figures],
            "gaps": [gap.to_json() for gap in self.gaps],
            "reference_gaps": [gap.to_json() for gap in self.reference_gaps],
            "skipped": dict(self.skipped),
            "failed": list(self.failed),
        }
