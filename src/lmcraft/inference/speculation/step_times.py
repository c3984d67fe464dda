"""How long a decode step takes, by its number of rows."""

from collections import deque
from collections.abc import Collection


class StepTimes:
    """Measured durations of recent steps, and their costs: durations relative to those of a step of one row at the time.

    A number of rows that was not used for a while counts as not measured.
    """

    WINDOW_STEPS = 8
    MAX_AGE_STEPS = 128
    ASSUMED_COST_PER_ROW = 0.25
    """Assumed cost of another row before it is measured."""

    def __init__(self) -> None:
        self._recent: dict[int, deque[float]] = {}
        """Costs by number of rows; for a single row, durations."""
        self._last_step: dict[int, int] = {}
        self._num_steps = 0

    def record(self, num_rows: int, seconds: float) -> None:
        """Add a step."""
        self._num_steps += 1
        if num_rows > 1 and not self.seconds:
            return
        if not self._is_known(num_rows):
            self._recent[num_rows] = deque(maxlen=self.WINDOW_STEPS)
        self._recent[num_rows].append(seconds / (self.seconds if num_rows > 1 else 1))
        self._last_step[num_rows] = self._num_steps

    @property
    def seconds(self) -> float:
        """Usual duration of a step of one row; 0: unknown."""
        return lower_quartile(self._recent[1]) if self._is_known(1) else 0.0

    def cost(self, num_rows: int) -> float:
        """Usual cost as far as it is measured; otherwise an assumption."""
        if num_rows == 1:
            return 1.0
        return lower_quartile(self._recent[num_rows]) if self._is_known(num_rows) else self._assumed_cost(num_rows)

    def hoped_cost(self, num_rows: int) -> float:
        """The same, but the assumption counts as one measurement: a few unusually slow steps do not rule a number out."""
        measured = self._recent[num_rows] if self._is_known(num_rows) else ()
        return lower_quartile((*measured, self._assumed_cost(num_rows)))

    def _is_known(self, num_rows: int) -> bool:
        return self._num_steps - self._last_step.get(num_rows, -self.MAX_AGE_STEPS) < self.MAX_AGE_STEPS

    def _assumed_cost(self, num_rows: int) -> float:
        """As if each row cost what it does in a step of the next smaller number of rows that is measured."""
        rows = max((rows for rows in self._recent if 1 < rows < num_rows and self._is_known(rows)), default=0)
        cost_per_row = (self.cost(rows) - 1) / (rows - 1) if rows else self.ASSUMED_COST_PER_ROW
        return 1 + (num_rows - 1) * max(0.0, cost_per_row)


def lower_quartile(durations: Collection[float]) -> float:
    """A usual duration: other programs make single steps slower, never faster."""
    return sorted(durations)[len(durations) // 4]
