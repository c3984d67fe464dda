"""`lmcraft plan`: the memory, time and energy of a run, before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from lmcraft.config import takes_settings
from lmcraft.energy import format_emissions, format_energy, open_meter
from lmcraft.json_lines import format_json
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.plan import Plan, PrivacyPlan
from lmcraft.terminal import column_table, format_bytes, format_count, format_duration, key_value_table, print_result
from lmcraft.training.environment import set_up_environment

if TYPE_CHECKING:
    from rich.table import Table

CHOICE_COLUMNS = ("choice", "blocks", "parameters", "batch", "steps", "noise", "loss")


@takes_settings(PlanConfig)
def plan(config: PlanConfig) -> Plan:
    """Print an estimate of a run's memory, time and energy, and return it.

    Raises:
        UserError: the configuration cannot run.
    """
    since = open_meter().read()
    set_up_environment()
    from lmcraft.pretraining.estimation import make_plan

    estimate = make_plan(config, since)
    if config.json:
        print(format_json(asdict(estimate), indent=2))
    else:
        tables = [_run_table(estimate), _memory_table(estimate), _time_table(estimate)]
        if estimate.privacy:
            tables[:0] = [_privacy_table(estimate.privacy), _choices_table(estimate.privacy)]
        warnings = [*estimate.warnings, *(estimate.privacy.outside if estimate.privacy else [])]
        print_result(*tables, *warnings)
    return estimate


def _run_table(plan: Plan) -> Table:
    source = "from --tflops" if plan.share_of_peak is None else f"measured: {plan.share_of_peak:.0%} of the machine's peak"
    optimal = plan.tokens / plan.compute_optimal_tokens
    from lmcraft.data.mixture import format_epochs  # imports numpy, which --help does without

    row_tokens = f"{plan.privacy.row_tokens:.0f} on average" if plan.privacy else f"{plan.sequence_length}"
    mixture = {
        f"source {use.source}": f"{use.share:.1%}: {use.tokens_read:,.0f} tokens, {format_epochs(use.epochs)} epochs of "
        f"{use.tokens:,}"
        for use in plan.mixture
    }
    rows = {
        "parameters": f"{plan.parameters:,} ({plan.embedding_parameters:,} in embeddings)",
        "tokens": f"{plan.tokens:,}: {plan.steps:,} steps of {plan.batch_size} x {row_tokens}",
        "micro-batch": f"{plan.micro_batch_size} x {plan.sequence_length}",
        "compute-optimal": f"{plan.compute_optimal_tokens:,} tokens; this run has {optimal:.2g} times as many",
        "epochs": f"{plan.epochs:.2g}",
        **mixture,
        "operations": f"{plan.flops:.3g} FLOP, {plan.flops_per_token:.3g} per token",
        "computing in": plan.computing,
        "speed": f"{plan.tokens_per_second:,.0f} tokens/s, {source}",
        "energy": f"{format_energy(plan.energy)}, by {plan.energy.method}" if plan.energy.joules else "",
        "emissions": format_emissions(plan.emissions) if plan.energy.joules else "",
    }
    return key_value_table("The run", {name: value for name, value in rows.items() if value})


def _privacy_table(plan: PrivacyPlan) -> Table:
    best = plan.best
    rows = {
        "guarantee": f"epsilon {plan.epsilon:g}, delta {plan.delta:.2g}, for each of {plan.units:,} documents",
        "settings": f"--depth {best.depth} --batch-size {best.batch_size} --max-steps {best.steps}",
        "sampling": f"a step reads a document with probability {plan.sampling_rate:.3g}, and at most {plan.max_rows:,}",
        "noise": f"{best.noise_multiplier:.3g} x --dp.max-grad-norm, over {best.batch_size:,} documents",
    }
    return key_value_table("Privacy", rows)


def _choices_table(plan: PrivacyPlan) -> Table:
    rows = [
        [
            choice.name or "this plan",
            str(choice.depth),
            format_count(choice.parameters),
            f"{choice.batch_size:,}",
            f"{choice.steps:,}",
            f"{choice.noise_multiplier:.3g}",
            f"{choice.loss - plan.best.loss:+.2f}" if choice.name else "",
        ]
        for choice in [plan.best, *plan.others]
    ]
    return column_table("Choices within the same budgets", CHOICE_COLUMNS, rows)


def _memory_table(plan: Plan) -> Table:
    rows = _shares({name: float(size) for name, size in plan.memory.items()}, format_bytes)
    if not plan.total_memory:
        return key_value_table("Memory", rows)
    fits = sum(plan.memory.values()) <= plan.total_memory
    advice = "" if fits else ": too little; lower --micro-batch-size, or add --activation-checkpointing"
    return key_value_table("Memory", rows | {"this machine has": f"{format_bytes(plan.total_memory)}{advice}"})


def _time_table(plan: Plan) -> Table:
    return key_value_table("Time", _shares(plan.seconds, format_duration))


def _shares(parts: dict[str, float], format_value: Callable[[float], str]) -> dict[str, str]:
    """Each part with its share of the total, and the total."""
    total = sum(parts.values())
    rows = {name: f"{format_value(value)}  ({value / total:.0%})" for name, value in parts.items()}
    return rows | {"total": format_value(total)}
