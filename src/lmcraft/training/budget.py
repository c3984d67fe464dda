"""What is left of a run's time and energy."""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

END_SECONDS = 1.0  # of one core, from the last checkpoint to the end of a command
KEPT_SHARE = 0.8  # of the largest evaluation that counts as one to come: some have a sample, too
WINDOW = 64  # plans, the older half of whose steps no longer counts


class Use(NamedTuple):
    """Time on the clock and energy."""

    seconds: float = 0.0
    joules: float = 0.0

    def plus(self, other: "Use", factor: float = 1.0) -> "Use":
        """The sum with so many times the other."""
        return Use(self.seconds + factor * other.seconds, self.joules + factor * other.joules)

    def minus(self, other: "Use") -> "Use":
        """The difference."""
        return self.plus(other, -1.0)

    def largest(self, other: "Use") -> "Use":
        """The larger time and the larger energy."""
        return Use(max(self.seconds, other.seconds), max(self.joules, other.joules))

    def contains(self, part: "Use") -> float:
        """How many times the part fits, by what is scarcer; negative if nothing is left."""
        pairs = ((self.seconds, part.seconds), (self.joules, part.joules))
        return min(whole / size if size > 0 else math.copysign(math.inf, whole) for whole, size in pairs)


NOTHING, NO_LIMIT = Use(), Use(math.inf, math.inf)


class Budget:
    """What is left of a run's time and energy, and what its steps and evaluations take."""

    def __init__(self, limit: Use = NO_LIMIT, used: Callable[[], Use] = Use) -> None:
        """`used` returns what all starts of the run have used so far."""
        self.limit, self._used = limit, used
        self.end = NOTHING
        """Of what the command does after its last evaluation."""
        self.tasks = NOTHING
        """Of the latest evaluation on tasks."""
        self.evaluation: Use | None = None
        """Of a validation with its sample and checkpoint; None: not known yet."""
        self.evaluation_steps = 0.0
        """How many steps an evaluation takes as long as, as long as none is measured."""
        self.first_step = 0
        """The steps before those of this command."""
        self._pauses = NOTHING  # of all evaluations
        self._marks: deque[tuple[int, Use]] = deque(maxlen=WINDOW)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.limit != NO_LIMIT

    def left(self) -> Use:
        """Until the last evaluation must begin."""
        return self.limit.minus(self._used()).minus(self.end).minus(self.tasks).minus(self._evaluation())

    def _evaluation(self) -> Use:
        if self.evaluation is not None:
            return self.evaluation
        return NOTHING.plus(self.per_step(), self.evaluation_steps) if self._marks else NOTHING

    def begin(self, step: int, evaluation_steps: float) -> None:
        """Before the first step of a command."""
        self.evaluation_steps = evaluation_steps
        self.first_step = step
        self._marks.append((step, self._used()))

    def note_pause(self, use: Use, *, is_evaluation: bool) -> None:
        """What was not a step: an evaluation, or a checkpoint."""
        self._pauses = self._pauses.plus(use)
        if is_evaluation:
            kept = NOTHING if self.evaluation is None else NOTHING.plus(self.evaluation, KEPT_SHARE)
            self.evaluation = use.largest(kept)

    def mark(self, step: int) -> None:
        """After a step at which the length is planned."""
        self._marks.append((step, self._used().minus(self._pauses)))

    def per_step(self, step: int | None = None) -> Use:
        """The mean of the later half of the steps of this command; nothing before the first one."""
        latest, now = self._marks[-1] if step is None else (step, self._used().minus(self._pauses))
        middle = (self._marks[0][0] + latest) / 2
        earlier, before = next(mark for mark in reversed(self._marks) if mark[0] <= middle)
        return NOTHING.plus(now.minus(before), 1 / (latest - earlier)) if latest > earlier else NOTHING

    def steps_left(self, step: int, eval_every: int) -> float:
        """How many more steps fit, with the evaluations between them."""
        each = self.per_step(step)
        return self.left().contains(each.plus(self._evaluation(), 1 / eval_every))

    def is_used_up(self, step: int) -> bool:
        """Whether another step would leave too little for the last evaluation."""
        return self.left().contains(self.per_step(step)) < 1
