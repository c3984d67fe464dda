"""A family's runs evaluated on tasks: their checkpoints, and what they were evaluated on during training."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from lmcraft.evaluation.results import TaskResult
from lmcraft.evaluation.task import Task
from lmcraft.json_lines import read_json_lines
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.scaling import Family, Member
from lmcraft.pretraining.task_curves import SizeResult, TaskCurve, TaskPoint, find_figure, summarize
from lmcraft.statistics.intervals import Metric
from lmcraft.training.checkpoint import Checkpoints
from lmcraft.training.history import recorded_tasks
from lmcraft.training.run_log import read_log
from lmcraft.training.task_scores import BITS_PER_BYTE

EvaluateCheckpoint = Callable[[Member, int], Mapping[str, TaskResult]]
"""The results of a run's checkpoint of a step, by the name of the task."""


def draw_tasks(family: Family, tasks: Sequence[Task], evaluate: EvaluateCheckpoint) -> list[TaskCurve]:
    """Each task over the checkpoints that the family's runs have kept.

    Args:
        family: trained.
        tasks: the tasks.
        evaluate: called once for each checkpoint.
    """
    members = sorted([*family.members, family.target], key=lambda member: (member.parameters, member.tokens))
    results = [(member, step, evaluate(member, step)) for member in members for step in _steps(member)]
    return [_draw(task, family.config.task_limit, members, results) for task in tasks]


def _steps(member: Member) -> list[int]:
    return Checkpoints(member.folder).steps()


def _draw(
    task: Task,
    limit: int,
    members: Sequence[Member],
    results: Sequence[tuple[Member, int, Mapping[str, TaskResult]]],
) -> TaskCurve:
    points = [point for member in members for point in _points_in_training(member, task, limit)]
    largest: dict[int, SizeResult] = {}
    for member, step, by_task in results:
        result = by_task[task.name]
        accuracy, bits = (find_figure(result.figures, bits=bits) for bits in (False, True))
        points.append(_point(member, step, accuracy.metric if accuracy else None, bits.metric if bits else None))
        if step == member.config.max_steps:  # of the longest run, which comes last
            largest[member.parameters] = SizeResult(member.parameters, result.figures, result.items)
    any_result = results[0][2][task.name]
    return TaskCurve(
        task.name,
        any_result.figures[0].measure.name,
        len(any_result.items),
        any_result.chance,
        sorted(points, key=lambda point: (point.parameters, point.tokens)),
        summarize(list(largest.values()), any_result.chance),
    )


def _point(member: Member, step: int, accuracy: Metric | None, bits: Metric | None) -> TaskPoint:
    last = member.config.max_steps
    tokens = member.tokens * step // last
    return TaskPoint(member.depth, member.parameters, tokens, step, step == last, accuracy, bits)


def _points_in_training(member: Member, task: Task, limit: int) -> Iterator[TaskPoint]:
    """What a run was evaluated on while it trained, if that was the same task and items, except for kept checkpoints."""
    recorded = recorded_tasks(list(read_json_lines(member.folder.history)))
    own_limit = PretrainConfig.from_toml(member.folder.config_toml).task_limit
    if recorded.get(task.name) != task.hash or own_limit != limit:
        return
    kept = set(_steps(member))
    for row in read_log(member.folder.metrics):
        if row["step"] and row["step"] not in kept and (figures := row.get("tasks", {}).get(task.name)):
            metrics = {name: Metric(*values) for name, values in figures.items()}
            first = next(iter(metrics))
            accuracy = None if first == BITS_PER_BYTE else metrics[first]
            yield _point(member, row["step"], accuracy, metrics.get(BITS_PER_BYTE))
