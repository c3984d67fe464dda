"""`lmcraft plan`: what a training run would take, before its first step."""

from __future__ import annotations

import json
import os
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lmcraft.commands.pretrain import PretrainConfig, build_trainer, settled
from lmcraft.config import command_config
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.training import depth_rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Group

    from lmcraft.machine import Machine

JOULES_PER_KWH = 3.6e6


@command_config
@dataclass(frozen=True, kw_only=True)
class PlanConfig(PretrainConfig):
    """Tell parameters, operations, memory, time and energy of a run of `lmcraft pretrain` with the same settings.

    A few steps are taken and thrown away, unless --tflops says the speed. Nothing is written.
    """

    tflops: float = 0.0
    """Speed that training reaches, in TFLOP/s, for a run on another machine; 0: measured here."""
    watts: float = 65.0
    """Power that the machine draws while it trains."""
    json: bool = False
    """Print JSON rather than tables."""


@dataclass(frozen=True)
class Plan:
    """What a run would take. Memory in bytes, time in seconds."""

    parameters: int
    embedding_parameters: int
    """Of these, in the embeddings and the output projection."""
    tokens: int
    compute_optimal_tokens: int
    """20 for each parameter (arXiv 2203.15556, table 3)."""
    epochs: float
    """How often the training text is read."""
    steps: int
    batch_size: int
    micro_batch_size: int
    sequence_length: int
    flops_per_token: int
    flops: float
    tokens_per_second: float
    computing: str
    """In which type on which device, where the speed was measured; empty: it follows from `tflops`."""
    share_of_peak: float | None
    """Of a large matrix product's speed on this machine, where that was measured."""
    memory: dict[str, int]
    """By part; together the most that the run holds at once."""
    memory_there: int
    """What this machine has."""
    seconds: dict[str, float]
    """By part."""
    energy_kwh: float


def plan(config: PlanConfig) -> Plan:
    """Print what a run would take, and return it.

    Raises:
        UserError: the configuration cannot run.
    """
    from rich.console import Console

    found = make_plan(config)
    if config.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        Console(highlight=False).print(_tables(found, config.watts))
    return found


def make_plan(config: PlanConfig) -> Plan:
    """What `plan` prints."""
    from lmcraft.training import environment

    environment.set_up()
    import torch

    from lmcraft.data.loader import TokenSplit
    from lmcraft.machine import choose_machine, peak_memory
    from lmcraft.model.transformer import Transformer
    from lmcraft.training.memory import FLOAT, activation_bytes, state_bytes
    from lmcraft.training.micro_batch import FAST_TOKENS, fast_rows
    from lmcraft.training.objective import NextToken

    config = config.resolved()
    for name in ("tflops", "watts"):
        if (value := getattr(config, name)) < 0:
            raise UserError(f"{name}={value} must not be negative")
    if config.tflops and not config.max_steps:
        raise UserError(
            f"max_time={config.max_time:g} is turned into steps by measuring: leave --tflops out, or give --max-steps"
        )
    program = peak_memory()
    with TemporaryDirectory() as temporary:
        folder = ModelFolder(Path(temporary))
        machine = None if config.tflops else choose_machine(config.device, config.precision)
        if machine is not None:
            config = settled(config, machine, folder)
        elif not config.micro_batch_size:
            config = replace(config, micro_batch_size=fast_rows(config.batch_size, config.sequence_length, FAST_TOKENS))
        with torch.device("meta"):
            model = Transformer(config.model)
        flops_per_token = model.flops_per_token(config.sequence_length)
        dtype = machine.dtype if machine else torch.float32 if config.precision == "fp32" else torch.bfloat16
        parameters = model.num_parameters()
        memory = {
            "weights": FLOAT * parameters,
            "gradients": FLOAT * parameters,
            "optimizer state": (state := state_bytes(model, config.optimizer)),
            "checkpoint, while it is written": FLOAT * parameters + state,
            "activations": activation_bytes(
                config.model,
                NextToken(config.label_smoothing, config.z_loss, config.document_mask),
                config.micro_batch_size,
                config.sequence_length,
                dtype,
                checkpointing=config.activation_checkpointing,
            ),
        }
        tokens_per_step = config.batch_size * config.sequence_length
        if machine is None:
            seconds = _reckoned(config, flops_per_token)
            memory["program"] = program
        else:
            seconds = _measured(config, machine, folder)
            most = torch.cuda.max_memory_allocated() if machine.device.type == "cuda" else peak_memory()
            memory["program and buffers"] = max(0, most - sum(memory.values()))
    tokens = config.max_steps * tokens_per_step
    speed = tokens / seconds["steps"]
    return Plan(
        parameters=parameters,
        embedding_parameters=parameters - model.num_parameters(embeddings=False),
        tokens=tokens,
        compute_optimal_tokens=depth_rule.TOKENS_PER_PARAMETER * parameters,
        epochs=tokens / len(TokenSplit(DatasetFolder(config.data), "train")),
        steps=config.max_steps,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        sequence_length=config.sequence_length,
        flops_per_token=flops_per_token,
        flops=float(flops_per_token) * tokens,
        tokens_per_second=speed,
        computing=machine.why if machine else "",
        share_of_peak=speed * flops_per_token / machine.peak_flops if machine else None,
        memory=memory,
        memory_there=_memory_there(machine),
        seconds=seconds,
        energy_kwh=config.watts * sum(seconds.values()) / JOULES_PER_KWH,
    )


def _measured(config: PlanConfig, machine: Machine, folder: ModelFolder) -> dict[str, float]:
    """A few steps, a short validation, a sample and a checkpoint, each as often as the run has them."""
    short = replace(config, eval_tokens=min(config.eval_tokens, depth_rule.EVAL_TOKENS))
    trainer = build_trainer(short, machine, folder)
    step = trainer.seconds_per_step()
    validation, sample, save = (
        statistics.median(_clocked(what, trainer.checkpoints.wait) for _ in range(2))
        for what in (trainer.validate, trainer.sample, trainer.save)
    )
    validations = -(-config.max_steps // config.eval_every)
    return {
        "steps": config.max_steps * step,
        "validation": validations * validation * config.eval_tokens / short.eval_tokens,
        "samples": -(-config.max_steps // config.sample_every) * sample,
        "checkpoints": max(validations, config.max_steps // config.save_every) * save,
    }


def _reckoned(config: PlanConfig, flops_per_token: int) -> dict[str, float]:
    """From the speed that was given; forward is a third of a step's work."""
    speed = config.tflops * 1e12 / flops_per_token
    validations = -(-config.max_steps // config.eval_every)
    tokens = config.max_steps * config.batch_size * config.sequence_length
    return {"steps": tokens / speed, "validation": validations * config.eval_tokens / (3 * speed)}


def _clocked(what: Callable[[], object], then: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    seconds = time.perf_counter() - begun
    then()
    return seconds


def _memory_there(machine: Machine | None) -> int:
    import torch

    if machine is not None and machine.device.type == "cuda":
        return torch.cuda.mem_get_info()[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _tables(found: Plan, watts: float) -> Group:
    from rich.console import Group
    from rich.table import Table

    def table(title: str, rows: list[tuple[str, str]]) -> Table:
        drawn = Table(title=title, show_header=False, title_justify="left", min_width=60)
        for name, value in rows:
            drawn.add_row(name, value)
        return drawn

    def shares(parts: dict[str, float], show: Callable[[float], str]) -> list[tuple[str, str]]:
        total = sum(parts.values())
        rows = [(name, f"{show(value)}  ({value / total:.0%})") for name, value in parts.items()]
        return [*rows, ("together", show(total))]

    how = "by --tflops" if found.share_of_peak is None else f"measured: {found.share_of_peak:.0%} of the machine's peak"
    speed = f"{found.tokens_per_second:,.0f} tokens/s, {how}"
    optimal = found.tokens / found.compute_optimal_tokens
    run = [
        ("parameters", f"{found.parameters:,} ({found.embedding_parameters:,} in embeddings)"),
        ("tokens", f"{found.tokens:,}: {found.steps:,} steps of {found.batch_size} x {found.sequence_length}"),
        ("micro-batch", f"{found.micro_batch_size} x {found.sequence_length}"),
        ("compute-optimal", f"{found.compute_optimal_tokens:,} tokens; this run has {optimal:.2g} of them"),
        ("the text is read", f"{found.epochs:.2g} times"),
        ("operations", f"{found.flops:.3g} FLOP, {found.flops_per_token:.3g} a token"),
        *([("computing in", found.computing)] if found.computing else []),
        ("speed", speed),
        ("energy", f"{found.energy_kwh:.3g} kWh at {watts:g} W (--watts)"),
    ]
    memory = shares({name: float(size) for name, size in found.memory.items()}, lambda size: f"{size / 2**30:.2f} GiB")
    fits = sum(found.memory.values()) <= found.memory_there
    advice = "" if fits else ": too little; lower --micro-batch-size, or add --activation-checkpointing"
    memory.append(("there is", f"{found.memory_there / 2**30:.2f} GiB{advice}"))
    return Group(table("The run", run), table("Memory", memory), table("Time", shares(found.seconds, _duration)))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
