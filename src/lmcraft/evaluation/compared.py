"""What a comparison of models holds: figures, differences, items, answers, sizes and speeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from lmcraft.evaluation.results import Measure
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.multiple import MAX_FALSE_DISCOVERY_RATE

Pair = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """Two models compared in one figure."""

    gain: Metric
    """The second model's number less the first's, with its 95% interval."""
    p_value: float | None
    """Of the hypothesis that they are equal; None if the items do not tell it."""
    adjusted_p_value: float | None
    """The same, adjusted for the number of comparisons."""
    detectable: float
    """The smallest true difference that so many items show with a probability of 80%; NaN if they do not tell it."""
    test: str

    @property
    def is_tie(self) -> bool:
        """Whether the items do not tell the models apart."""
        return self.adjusted_p_value is None or self.adjusted_p_value > MAX_FALSE_DISCOVERY_RATE


@dataclass(frozen=True)
class ComparedFigure:
    """One figure of a task, for all models that have it."""

    measure: Measure
    count: int
    """Number of items, the same ones for all models."""
    metrics: Mapping[str, Metric]
    """By the name of the model."""
    differences: Mapping[Pair, Difference]
    """By the names of two models; empty if their numbers mean different things, such as nats per token of two tokenizers."""
    tied_with: Mapping[str, Sequence[str]]
    """For each model, the others from which the items do not tell it apart; empty like `differences`."""

    def better(self, pair: Pair) -> str:
        """Which of two models is better; empty: they are tied, or cannot be compared."""
        difference = self.differences.get(pair)
        if difference is None or difference.is_tie:
            return ""
        return pair[(difference.gain.value > 0) == self.measure.higher_is_better]


@dataclass(frozen=True)
class DifferingItem:
    """An item on which the models differ."""

    origin: str
    """File and line."""
    question: str
    gold: str
    answers: Mapping[str, str]
    """What each model answered."""
    numbers: Mapping[str, float]
    """Each model's number."""
    best: tuple[str, ...]
    """The models that are right, or the one that is best."""


@dataclass(frozen=True)
class ComparedTask:
    """The results of all models on one task."""

    name: str
    chance: float | None
    figures: Sequence[ComparedFigure]
    judged_by: Measure
    """The figure that tells on which items the models differ."""
    differing: Sequence[DifferingItem]
    """Where some models are right and others wrong; without right and wrong, all items, the largest differences first."""


@dataclass(frozen=True)
class Rate:
    """The median of some measurements, the lowest and the highest one."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, measurements: Sequence[float]) -> "Rate":
        return cls(median(measurements), min(measurements), max(measurements))


@dataclass(frozen=True)
class TokenEnergy:
    """What writing a token draws, with the interval of the meter's method, whose errors are the same for all models."""

    joules: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Speed:
    """The speed of a model for one request, in tokens per second, and its energy."""

    prefill: Rate
    """Reading a prompt, up to the first new token."""
    decode: Rate
    """Writing."""
    energy: TokenEnergy


@dataclass(frozen=True)
class ComparedModel:
    """One of the models."""

    address: str
    hash: str
    """Of all that its outputs depend on."""
    parameters: int
    weight_bytes: int
    """Size of the weights on disk."""
    vocabulary: int
    """Tokens of the tokenizer."""
    context: int
    """In tokens."""
    bytes_per_token: float
    """Of the prompts: the lengths of two models' tokens differ if their tokenizers do."""
    speed: Speed | None


@dataclass(frozen=True)
class Answered:
    """The answers of all models to one prompt."""

    prompt: str
    answers: Mapping[str, str]
    """By the name of the model."""


@dataclass(frozen=True)
class ModelComparison:
    """Models compared on tasks, on answers to the same prompts, and by size and speed."""

    models: Mapping[str, ComparedModel]
    """By their names, the first one the model that others are compared with."""
    settings: Mapping[str, Any]
    machine: str
    """Where the speeds were measured."""
    tasks: Sequence[ComparedTask]
    answers: Sequence[Answered]
    notes: Sequence[str] = field(default_factory=tuple)
    """What could not be compared, one sentence each."""

    def pairs(self, figure: ComparedFigure) -> list[Pair]:
        """The first of the figure's models with each other one."""
        first = next(iter(figure.metrics))
        return [pair for pair in figure.differences if pair[0] == first]

    @property
    def num_comparisons(self) -> int:
        """How many p-values were adjusted together."""
        return sum(
            difference.p_value is not None
            for task in self.tasks
            for figure in task.figures
            for difference in figure.differences.values()
        )

    def verdicts(self) -> Iterator[tuple[ComparedTask, ComparedFigure, Pair, str]]:
        """Each difference that the items show, and the better model."""
        for task in self.tasks:
            for figure in task.figures:
                for pair in figure.differences:
                    if name := figure.better(pair):
                        yield task, figure, pair, name

    def to_json(self) -> dict[str, Any]:
        """As an object of comparison.json."""
        return {
            "models": [{"name": name, **asdict(model)} for name, model in self.models.items()],
            "settings": dict(self.settings),
            "machine": self.machine,
            "notes": list(self.notes),
            "comparisons": self.num_comparisons,
            "tasks": [
                {
                    "task": task.name,
                    "chance": task.chance,
                    "figures": [_figure_json(figure) for figure in task.figures],
                    "judged_by": task.judged_by.name,
                    "differing": [asdict(item) for item in task.differing],
                }
                for task in self.tasks
            ],
            "answers": [asdict(answered) for answered in self.answers],
        }


def _figure_json(figure: ComparedFigure) -> dict[str, Any]:
    return {
        "figure": figure.measure.name,
        "higher_is_better": figure.measure.higher_is_better,
        "items": figure.count,
        "values": {name: asdict(metric) for name, metric in figure.metrics.items()},
        "differences": [
            {"first": first, "second": second, **asdict(difference), "better": figure.better((first, second)) or None}
            for (first, second), difference in figure.differences.items()
        ],
        "tied_with": {name: list(others) for name, others in figure.tied_with.items()},
    }
