"""Learning-rate schedules: the factor of the base rates at a step."""

from math import cos, pi

from lmcraft.errors import UserError
from lmcraft.training.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, step: int, max_steps: int) -> float:
    """The factor at `step`, counted from 0; the last step is `max_steps - 1`.

    All schedules rise linearly during warmup. Then constant stays at 1 and the others decay to `final`: linear in a straight
    line, cosine along half a wave (arXiv 1608.03983, eq. 5), wsd in a straight line at the end (arXiv 2404.06395).
    """
    warmup = round(config.warmup * max_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    start = decay_begin(config, max_steps)
    progress = min(1.0, max(0.0, (step - start + 1) / max(1, max_steps - start)))
    match config.name:
        case "constant":
            return 1.0
        case "cosine":
            return config.final + (1 - config.final) * (1 + cos(pi * progress)) / 2
        case "linear" | "wsd":
            return 1 - (1 - config.final) * progress


def decay_begin(config: ScheduleConfig, max_steps: int) -> int:
    """The steps before the decay; a decay that was planned again may be so flat that it would have begun before the run."""
    if config.decay_steps and config.name in ("linear", "wsd"):
        return max_steps - config.decay_steps
    warmup = round(config.warmup * max_steps)
    if config.name == "constant":
        return max_steps
    return max(warmup, max_steps - round(config.decay * max_steps)) if config.name == "wsd" else warmup


def check_schedule(config: ScheduleConfig) -> None:
    """Raise UserError for a share outside the range 0 to 1."""
    for name in ("warmup", "decay", "final"):
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise UserError(f"schedule.{name}={value} must be between 0 and 1")
