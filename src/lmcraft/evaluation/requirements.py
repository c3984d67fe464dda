"""What figures a model must reach, so that a script or CI can stop at a model that got worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

from lmcraft.errors import UserError
from lmcraft.evaluation.methods import Method
from lmcraft.evaluation.results import Measure, TaskResult

MAX_NAMED = 10  # failed tests, where they are listed


@dataclass(frozen=True)
class Requirement:
    """A figure of a task, and the value that it must reach."""

    setting: str
    """As the user wrote it."""
    task: str
    measure: Measure
    threshold: float

    @classmethod
    def parse(cls, setting: str, methods: Sequence[Method]) -> "Requirement":
        """A requirement such as regressions=0.9 (the first figure of a task) or sanguo/bits_per_byte=1.2.

        Raises:
            UserError: it is none, or names a task or a figure that is not measured.
        """
        name, equals, number = setting.rpartition("=")
        task, _, figure = name.partition("/")
        try:
            threshold = float(number)
        except ValueError:
            threshold = nan
        if not equals or not task or isnan(threshold):
            raise UserError(f"require='{setting}' is not a task and a number: write it as in my-task=0.9")
        measures = {method.task.name: method.measures for method in methods}
        if task not in measures:
            raise UserError(
                f"require='{setting}' names no task of this evaluation, which has {', '.join(measures)}: change it"
            )
        by_name = {measure.name: measure for measure in measures[task]}
        if figure and figure not in by_name:
            raise UserError(f"require='{setting}': '{task}' has no figure '{figure}': choose from {', '.join(by_name)}")
        measure = by_name[figure] if figure else measures[task][0]
        if measure.form == "proportion" and not 0 <= threshold <= 1:
            raise UserError(f"require='{setting}': {measure.name} is a share: write a number from 0 to 1")
        return cls(setting, task, measure, threshold)

    def shortfall(self, results: Sequence[TaskResult]) -> str:
        """A sentence that names the figure and the failed tests, if the figure itself (not its interval) falls short."""
        [result] = [result for result in results if result.task == self.task]
        values = [figure.metric.value for figure in result.figures if figure.measure.name == self.measure.name]
        bound = "at least" if self.measure.higher_is_better else "at most"
        if not values:
            return f"{self.task}: no item has the figure {self.measure.name}, but {bound} {self.threshold:g} is required"
        value = values[0]
        if value >= self.threshold if self.measure.higher_is_better else value <= self.threshold:
            return ""
        failed = [name for name, _ in failed_tests(result)] if self.measure.tells_right_from_wrong else []
        sentence = f"{self.task}: {self.measure.name} is {value:.3f}, but {bound} {self.threshold:g} is required"
        if not failed:
            return f"{sentence}; the items are in {result.file}"
        named = ", ".join(failed[:MAX_NAMED])
        more = f" and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
        return f"{sentence}; failed: {named}{more}; the answers and the reasons are in {result.file}"


def failed_tests(result: TaskResult) -> list[tuple[str, str]]:
    """The name of each test of a task that failed, and why; empty for tasks of other kinds than checks."""
    failed = (item.details for item in result.items if item.details.get("failures"))
    return [(str(details["name"]), "; ".join(details["failures"])) for details in failed]
