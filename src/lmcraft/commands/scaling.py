"""`lmcraft scaling`: fit a scaling law on small models, predict the next size's loss, and check it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lmcraft.commands.evaluate import EvaluateConfig, open_evaluation, run_task
from lmcraft.commands.pretrain import pretrain
from lmcraft.config import takes_settings
from lmcraft.errors import InterruptedRunError
from lmcraft.folder.names import FAMILY_CONFIG
from lmcraft.pretraining.config import ScalingConfig
from lmcraft.pretraining.scaling_law import Scaling, fit_scaling_law
from lmcraft.terminal import column_table, format_count, line_printer, print_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from lmcraft.evaluation.results import TaskResult
    from lmcraft.evaluation.task import Task
    from lmcraft.pretraining.scaling import Family, Member

POINT_COLUMNS = ("blocks", "parameters", "tokens", "loss", "law", "error")


@takes_settings(ScalingConfig)
def scaling(config: ScalingConfig) -> Scaling:
    """Train a family, fit its law, predict the next size, train that, and print the error; finished runs are kept.

    Raises:
        UserError: the configuration cannot run, or `out` holds a family that is not resumed or has other settings.
        InterruptedRunError: a signal stopped a run; resume continues exactly there.
        RunError: a run's loss is not a number, or the disk is full.
    """
    from lmcraft.pretraining.scaling import Family

    config = config.resolved()
    family = Family.build(config)
    with family.claim_folder():
        return _train_family(family, config.out)


def _train_family(family: Family, out: Path) -> Scaling:
    from lmcraft.pretraining.family_tasks import draw_tasks
    from lmcraft.reports.scaling import write_scaling

    print_line = line_printer()
    tasks = family.open_tasks()
    family.announce(print_line)
    points = [family.train(member, pretrain, print_line) for member in family.members]
    result = Scaling(points, fit_scaling_law(points), family.target.point(float("nan")))
    write_scaling(out, result)  # the prediction is on the disk before its run starts
    print_line(f"{result.summary()}\n{result.reliability()}")
    result = replace(result, target=family.train(family.target, pretrain, print_line))
    if tasks:
        result = replace(result, tasks=draw_tasks(family, tasks, partial(_evaluate, family.config, tasks)))
    page = write_scaling(out, result)
    print_result(*_tables(result))
    print(page)
    return result


def _evaluate(config: ScalingConfig, tasks: Sequence[Task], member: Member, step: int) -> dict[str, TaskResult]:
    """The results of a run's checkpoint by task; those that are saved are not computed again.

    Raises:
        InterruptedRunError: a signal stopped it.
    """
    from lmcraft.training.checkpoint import Checkpoints

    evaluate_config = EvaluateConfig(
        str(Checkpoints(member.folder).path(step)),
        out=member.folder.run / "evaluations",
        training_data="off",
        device=config.device,
        precision=config.precision,
    )
    try:
        with open_evaluation(evaluate_config) as evaluation:
            titles = {task: f"{task.name}, {member.name}, step {step}" for task in tasks}
            return {task.name: run_task(evaluation, task, config.task_limit, title) for task, title in titles.items()}
    except InterruptedRunError as error:
        command = f"continue with: lmcraft scaling {config.out / FAMILY_CONFIG} --resume"
        raise InterruptedRunError(f"stopped by a signal; {command}", error.exit_status - 128) from error


def _tables(result: Scaling) -> list[RenderableType]:
    from lmcraft.reports.scaling import point_cells
    from lmcraft.reports.task_curves import task_table

    law = result.fit.law
    coefficients = [(name, *(f"{value:.4g}" for value in values)) for name, values in result.coefficients().items()]
    optimal = [
        (format_count(o.flops), format_count(o.parameters), format_count(o.tokens), f"{o.loss:.4f}") for o in result.optimal
    ]
    return [
        column_table("The family", POINT_COLUMNS, [point_cells(point, law) for point in result.points]),
        column_table("L(N, D) = E + A / N^alpha + B / D^beta", ("coefficient", "value", "low", "high"), coefficients),
        column_table("Compute-optimal sizes", ("operations", "parameters", "tokens", "loss"), optimal),
        column_table("The predicted run", POINT_COLUMNS, [point_cells(result.target, law)]),
        result.summary(),
        result.reliability(),
        *(column_table(f"Task {curve.task}", *task_table(curve, curve.ends)) for curve in result.tasks),
        *(f"{curve.task}: {curve.summary}" for curve in result.tasks),
    ]
