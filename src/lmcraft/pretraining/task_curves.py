"""Tasks over a family of runs: by accuracy and by bits per byte, and whether what looks like a jump is one.

Accuracy stays at chance until the right answer becomes the most likely one, and then rises quickly, even if the model
improves steadily: it is a threshold of something smooth (arXiv 2304.15004). The bits per byte of the right answer have none.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from lmcraft.evaluation.results import Figure, ItemResult, compare_results
from lmcraft.statistics.intervals import Metric
from lmcraft.terminal import format_count
from lmcraft.training.task_scores import BITS_PER_BYTE


@dataclass(frozen=True)
class TaskPoint:
    """A task's figures for a model of a family, at some step of its run."""

    depth: int
    parameters: int
    tokens: int
    """Targets trained on until then."""
    step: int
    is_last: bool
    """Whether it is the last step of its run."""
    accuracy: Metric | None
    """The first figure; None if that is the bits per byte."""
    bits_per_byte: Metric | None
    """Of the right answers; None if the task has no such figure."""


@dataclass(frozen=True)
class SizeResult:
    """A task's results for one size, after the longest of its runs."""

    parameters: int
    figures: Sequence[Figure]
    items: Sequence[ItemResult]


@dataclass(frozen=True)
class TaskCurve:
    """A task over the sizes and the checkpoints of a family."""

    task: str
    measure: str
    """The name of the first figure, such as acc_norm."""
    items: int
    """Number of items."""
    chance: float | None
    """The accuracy of a model that guesses; None if that is next to nothing, or has no meaning."""
    points: Sequence[TaskPoint]
    """From the smallest model to the largest, and by tokens."""
    summary: str
    """Whether a jump in accuracy has a smooth counterpart."""

    @property
    def ends(self) -> list[TaskPoint]:
        """The points after the last step of each run."""
        return [point for point in self.points if point.is_last]

    @property
    def sizes(self) -> list[TaskPoint]:
        """The point after the longest run of each size."""
        return list({point.parameters: point for point in self.ends}.values())

    def as_json(self) -> dict[str, Any]:
        """The points and the sentence as JSON values."""
        return asdict(self)


def find_figure(figures: Sequence[Figure], *, bits: bool) -> Figure | None:
    """The bits per byte, or else the first figure, unless that is the bits per byte."""
    candidates = [figure for figure in figures if figure.measure.name == BITS_PER_BYTE] if bits else figures[:1]
    return next((figure for figure in candidates if bits or figure.measure.name != BITS_PER_BYTE), None)


def summarize(results: Sequence[SizeResult], chance: float | None) -> str:
    """Whether accuracy jumps from chance at some size, and whether the bits per byte fall steadily, in sentences.

    Args:
        results: of at least one size, from the smallest to the largest, on the same items.
        chance: the accuracy of a model that guesses; None if there is none.
    """
    firsts = [figure for result in results if (figure := find_figure(result.figures, bits=False))]
    has_bits = all(find_figure(result.figures, bits=True) for result in results)
    smooth = _describe_bits(results) if has_bits else "The task has no bits per byte, which would show what precedes a jump."
    if not firsts:
        return smooth
    if chance is None:
        values = [f"{figure.metric.value:.3f}" for figure in firsts]
        return f"{firsts[0].measure.name} from the smallest size to the largest: {', '.join(values)}. {smooth}"
    accuracies = [figure.metric for figure in firsts]
    sizes, guess = [format_count(result.parameters) for result in results], f"chance ({chance:.3f})"
    is_above = [metric.low is not None and metric.low > chance for metric in accuracies]
    if not any(is_above):
        return (
            f"Accuracy is {_not_above(accuracies, chance)} {guess} up to {sizes[-1]} parameters, the largest size. {smooth}"
        )
    first = is_above.index(True)
    if not all(is_above[first:]):
        return (
            f"Accuracy is above {guess} at {sizes[first]} parameters, but not at every larger size: more items "
            f"(--task-limit) would tell whether it grows. {smooth}"
        )
    if first == 0:
        return f"Accuracy is above {guess} at every size, so there is no jump from chance. {smooth}"
    below = f"{_not_above(accuracies[:first], chance)} {guess} up to {sizes[first - 1]} parameters"
    jump = f"Accuracy is {below}, and above it from {sizes[first]} on.{_doubt(results[first - 1], results[first])} {smooth}"
    return f"{jump} {_judge_jump(results[:first])}" if has_bits else jump


def _doubt(before: SizeResult, after: SizeResult) -> str:
    """A sentence if the sizes on both sides of a jump do not differ in accuracy beyond their uncertainty."""
    gain = _gain(before, after, bits=False)
    if gain.low is not None and gain.low > 0:
        return ""
    return f" These two do not differ beyond their uncertainty ({_describe_gain(gain)}), so it may be no jump."


def _not_above(accuracies: Sequence[Metric], chance: float) -> str:
    within = all(m.low is not None and m.high is not None and m.low <= chance <= m.high for m in accuracies)
    return "indistinguishable from" if within else "not above"


def _describe_bits(results: Sequence[SizeResult]) -> str:
    """How the bits per byte go from the smallest size to the largest."""
    values = [_bits(result).metric.value for result in results]
    if len(values) == 1:
        return f"Bits per byte are {values[0]:.3f}."
    course = f"from {values[0]:.3f} to {values[-1]:.3f} ({_describe_gain(_gain(results[0], results[-1], bits=True))})"
    if all(after < before for before, after in pairwise(values)):
        return f"Bits per byte fall with every size, {course}."
    return f"Bits per byte do not fall with every size; they go {course}."


def _judge_jump(at_chance: Sequence[SizeResult]) -> str:
    """Whether the bits per byte fall while accuracy is still at chance."""
    if len(at_chance) == 1:
        return "Only one size is at chance, so nothing shows what precedes the jump: add smaller --depths."
    gain = _gain(at_chance[0], at_chance[-1], bits=True)
    if gain.high is not None and gain.high < 0:
        return f"Already among the sizes at chance they fall ({_describe_gain(gain)}): the jump has a smooth counterpart."
    return (
        f"Among the sizes at chance they do not fall ({_describe_gain(gain)}): the jump has no smooth counterpart on these "
        "items."
    )


def _bits(result: SizeResult) -> Figure:
    figure = find_figure(result.figures, bits=True)
    assert figure is not None
    return figure


def _gain(first: SizeResult, second: SizeResult, *, bits: bool) -> Metric:
    """The second size's figure less the first's, on the same items."""
    before, after = (find_figure(result.figures, bits=bits) for result in (first, second))
    assert before is not None and after is not None
    compared = compare_results(before.measure, first.items, second.items)
    return Metric(after.metric.value - before.metric.value) if compared is None else compared.gain


def _describe_gain(gain: Metric) -> str:
    interval = "" if gain.low is None else f", 95% interval {gain.low:+.3f} to {gain.high:+.3f}"
    return f"{gain.value:+.3f}{interval}"
