"""The length of a run that is limited by time: planned before the first step, and again at each evaluation."""

from lmcraft.training.config import TrainConfig
from lmcraft.training.schedule import learning_rate_factor

END_SECONDS = 2.0  # from the last checkpoint to the end of a command
PLANNED_SHARE_OF_TIME = 0.9  # the remainder is for slower steps than the measured ones
MIN_GROWTH = 1.05  # of a run; less is left to the next evaluation


def plan_again(config: TrainConfig, step: int, seconds_per_step: float, seconds_left: float) -> int:
    """The number of steps of a run, planned again by the speed of its steps so far.

    A run that would not end in time gets shorter, so that its learning rate still decays. One with time left gets longer if
    that raises no learning rate, and only so long that its warmup is over.

    Args:
        config: the settings, with the number of steps so far.
        step: the steps that are done.
        seconds_per_step: mean time of a step, with its share of evaluations and checkpoints.
        seconds_left: time until the last evaluation.
    """
    steps_left = seconds_left / seconds_per_step
    planned = step + int(PLANNED_SHARE_OF_TIME * steps_left)
    if step + steps_left < config.max_steps:
        return min(max(planned, step + 1), config.max_steps)
    if config.schedule.warmup:
        planned = min(planned, int(step / config.schedule.warmup))
    latest = learning_rate_factor(config.schedule, step - 1, config.max_steps)
    rises = learning_rate_factor(config.schedule, step, planned) > latest
    return config.max_steps if rises or planned <= MIN_GROWTH * config.max_steps else planned
