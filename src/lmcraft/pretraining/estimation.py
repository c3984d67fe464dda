"""Estimate a run: memory from the model's sizes, time from a few measured steps or a speed in TFLOP/s."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lmcraft.data.loader import TokenSplit
from lmcraft.energy import NO_ENERGY, Energy, Reading, emissions
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.machine import Machine, choose_machine, peak_memory, total_memory
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.objectives.registry import build_objective
from lmcraft.pretraining.plan import Plan
from lmcraft.pretraining.private_budget import choose_private_run
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.pretraining.run_data import open_mixture
from lmcraft.training import depth_rule
from lmcraft.training.account import RunAccount
from lmcraft.training.memory import BYTES_PER_FLOAT, activation_bytes, state_bytes
from lmcraft.training.micro_batch import CPU_TOKENS_PER_MICRO_BATCH, fast_rows

SLOWER = 1.2  # times a budget of time, above which the speed has changed since the budget was divided
SLOWER_SENTENCE = (
    "this machine was faster when the plan was made than when its time was measured: plan again while nothing else runs"
)
USUAL_WATTS = 65.0  # of a small desktop or server while it trains


def make_plan(config: PlanConfig, since: Reading | None = None) -> Plan:
    """Estimate a run, from a few of its steps unless `tflops` gives the speed.

    Args:
        config: of the run.
        since: the meter's reading at the start of the command; None: now.

    Raises:
        UserError: the configuration cannot run.
    """
    account, privacy, budget = RunAccount("plan", since=since), None, float(config.time_budget)
    if config.dp.epsilon:
        config.dp.check()
        config, privacy = choose_private_run(config)
    config = config.resolved()
    row_tokens = round(privacy.row_tokens) if privacy else config.sequence_length
    plan = replace(_estimate(config, account, row_tokens), privacy=privacy)
    if privacy and budget and sum(plan.seconds.values()) > SLOWER * budget:
        return replace(plan, warnings=[*plan.warnings, SLOWER_SENTENCE])
    return plan


def _estimate(config: PlanConfig, account: RunAccount, row_tokens: int) -> Plan:
    program_bytes = peak_memory()
    if config.tflops:
        dtype = torch.float32 if config.precision == "fp32" else torch.bfloat16
        if not config.micro_batch_size:
            rows = fast_rows(config.batch_size, config.sequence_length, CPU_TOKENS_PER_MICRO_BATCH[dtype])
            config = replace(config, micro_batch_size=rows)
        model = _meta_model(config)
        memory = _estimate_memory(config, model, dtype)
        if _is_here(config):
            memory["program"] = program_bytes
        parts = _estimate_parts(config, model.flops_per_token(config.sequence_length), row_tokens)
        return _build_plan(config, model, None, memory, parts, row_tokens)
    machine = choose_machine(config.device, config.precision)
    with TemporaryDirectory() as temporary:
        run = replace(PretrainingRun.open(config, machine, ModelFolder(Path(temporary))), account=account)
        account.set_limit(config)
        config = run.autotune(str).apply(config, config.sequence_length)
        model = _meta_model(config)
        memory = _estimate_memory(config, model, machine.dtype)
        run = replace(run, config=config)
        run.build_trainer()
        start, end = account.of_command(fresh=True), account.end()
        parts = {"start": start, **run.measure_costs().parts(config, row_tokens), "end": end}
        if config.watts:
            parts = {name: _at_power(config.watts, part.seconds) for name, part in parts.items()}
    memory["program and buffers"] = max(0, peak_memory(machine.device) - sum(memory.values()))
    return _build_plan(config, model, machine, memory, parts, row_tokens)


def _meta_model(config: PlanConfig) -> Transformer:
    with torch.device("meta"):
        return Transformer(config.model)


def _build_plan(
    config: PlanConfig,
    model: Transformer,
    machine: Machine | None,
    memory: dict[str, int],
    parts: dict[str, Energy],
    row_tokens: int,
) -> Plan:
    parameters, flops_per_token = model.num_parameters(), model.flops_per_token(config.sequence_length)
    tokens = config.max_steps * config.batch_size * row_tokens
    tokens_per_second = tokens / parts["steps"].seconds
    mixture, size = open_mixture(config), (config.max_steps * config.batch_size, config.sequence_length)
    if mixture:
        mixture.check_length(*size)
    energy = sum(parts.values(), NO_ENERGY)
    return Plan(
        parameters=parameters,
        embedding_parameters=parameters - model.num_parameters(embeddings=False),
        tokens=tokens,
        compute_optimal_tokens=depth_rule.TOKENS_PER_PARAMETER * parameters,
        epochs=tokens / len(TokenSplit(DatasetFolder(config.data), "train")),
        mixture=mixture.uses(*size) if mixture else [],
        warnings=mixture.warnings(*size) if mixture else [],
        steps=config.max_steps,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        sequence_length=config.sequence_length,
        flops_per_token=flops_per_token,
        flops=float(flops_per_token) * tokens,
        tokens_per_second=tokens_per_second,
        computing=machine.description if machine else "",
        share_of_peak=tokens_per_second * flops_per_token / machine.peak_flops if machine else None,
        memory=memory,
        total_memory=_memory_of(config, machine),
        seconds={name: part.seconds for name, part in parts.items()},
        joules={name: part.joules for name, part in parts.items()},
        energy=energy,
        energy_kwh=energy.kwh,
        emissions=emissions(energy),
    )


def _is_here(config: PlanConfig) -> bool:
    """Whether the plan is for this machine; a GPU need not be here."""
    return config.device in ("auto", "cpu")


def _memory_of(config: PlanConfig, machine: Machine | None) -> int:
    """Bytes of the machine that the plan is for; 0 if it is a GPU that need not be here."""
    if machine is None:
        return total_memory(torch.device("cpu")) if _is_here(config) else 0
    return total_memory(machine.device)


def _estimate_memory(config: PlanConfig, model: Transformer, dtype: torch.dtype) -> dict[str, int]:
    weights, state = BYTES_PER_FLOAT * model.num_parameters(), state_bytes(model, config.optimizer)
    activations = activation_bytes(
        config.model,
        build_objective(config).build_loss(),
        config.micro_batch_size,
        config.sequence_length,
        dtype,
        checkpointing=config.activation_checkpointing,
    )
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer state": state,
        "checkpoint, while it is written": weights + state,
        "activations": activations,
    }


def _estimate_parts(config: PlanConfig, flops_per_token: int, row_tokens: int) -> dict[str, Energy]:
    """Time and energy at a speed of `tflops` and a power of `watts`; a forward pass is a third of a step's work."""
    tokens_per_second = config.tflops * 1e12 / flops_per_token
    validations = -(-config.max_steps // config.eval_every)
    tokens = config.max_steps * config.batch_size * row_tokens
    seconds = {
        "steps": tokens / tokens_per_second,
        "validation": validations * config.eval_tokens / (3 * tokens_per_second),
    }
    return {name: _at_power(config.watts or USUAL_WATTS, value) for name, value in seconds.items()}


def _at_power(watts: float, seconds: float) -> Energy:
    joules = watts * seconds
    return Energy(joules, joules, joules, "watts", seconds)
