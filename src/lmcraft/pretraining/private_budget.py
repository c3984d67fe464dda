"""What the steps of a private run may cost: time, tokens, or as many operations as an ordinary run."""

from pathlib import Path
from tempfile import TemporaryDirectory

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import choose_machine
from lmcraft.pretraining.config import DEFAULT_DEPTH, PlanConfig
from lmcraft.pretraining.plan import PrivacyPlan
from lmcraft.pretraining.private_plan import Budget, PrivateChooser, Size, list_sizes, sized
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training import depth_rule

SHARE_OF_STEPS = 0.85  # of a budget of time: the rest is for starting, evaluations and checkpoints
MEASURED_ROWS = 64
MEASURED_DEPTHS = 4  # up to which models are measured


def choose_private_run(config: PlanConfig) -> tuple[PlanConfig, PrivacyPlan]:
    """The configuration with the depth, batch and steps that it leaves open, and what speaks for them.

    Raises:
        UserError: the budgets allow no run, or a setting cannot be used.
    """
    if config.energy_budget:
        raise UserError(
            f"energy_budget={config.energy_budget} does not choose the size of a private model: use --time-budget or "
            "--max-tokens"
        )
    sizes, units = list_sizes(config)
    return PrivateChooser(config, units, _budget(config, sizes)).choose(sizes)


def _budget(config: PlanConfig, sizes: list[Size]) -> Budget:
    if config.max_tokens:
        return Budget(config.max_tokens, lambda size, tokens: tokens)
    if config.time_budget and config.tflops:
        return Budget(float(config.time_budget) * config.tflops * 1e12, lambda size, tokens: size.flops_per_token * tokens)
    if config.time_budget:
        return _measure(config, sizes, SHARE_OF_STEPS * float(config.time_budget))
    ordinary = min(sizes, key=lambda size: abs(size.depth - DEFAULT_DEPTH))
    total = depth_rule.TOKENS_PER_PARAMETER * ordinary.parameters * ordinary.flops_per_token
    return Budget(float(total), lambda size, tokens: size.flops_per_token * tokens)


def _measure(config: PlanConfig, sizes: list[Size], seconds: float) -> Budget:
    """Times of a token and an update on this machine, linear in the work per token, from the smallest and a larger model."""
    measured = [sizes[0]]
    if len(sizes) > 1:
        measured.append(max((size for size in sizes if size.depth <= MEASURED_DEPTHS), key=lambda size: size.depth))
    machine, times = choose_machine(config.device, config.precision), []
    for size in measured:
        with TemporaryDirectory() as folder:
            one_step = sized(config, size.depth, MEASURED_ROWS).resolved()
            costs = PretrainingRun.open(one_step, machine, ModelFolder(Path(folder))).measure_costs()
        times.append((costs.token.seconds, costs.update.seconds))
    work = [size.flops_per_token for size in measured]

    def at(size: Size, column: int) -> float:
        values = [time[column] for time in times]
        slope = (values[-1] - values[0]) / (work[-1] - work[0]) if len(work) > 1 else 0.0
        return values[0] + max(slope, 0.0) * (size.flops_per_token - work[0])

    return Budget(seconds, lambda size, tokens: at(size, 0) * tokens + at(size, 1))
