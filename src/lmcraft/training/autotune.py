"""Choose a run's attention implementation, compilation, length and micro-batch by measuring before the first step.

The choices are saved in run.toml, so a resumed run measures nothing and computes the same numbers.

Shapes: B batch, T tokens, C width.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf, isfinite
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from lmcraft.data.documents import count_noun
from lmcraft.data.loader import Dataset
from lmcraft.energy import NO_ENERGY, Energy
from lmcraft.energy.energy import JOULES_PER_WH
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.model.uneven_layers import KeySharing
from lmcraft.terminal import PrintLine, format_duration
from lmcraft.training import depth_rule
from lmcraft.training.account import RunAccount
from lmcraft.training.batch import to_device
from lmcraft.training.budget import Use
from lmcraft.training.compilation import USUAL_SHARE_OF_PEAK, choose_compile
from lmcraft.training.config import TrainConfig
from lmcraft.training.costs import Costs
from lmcraft.training.dp.memory import row_bytes
from lmcraft.training.length import PLANNED_SHARE
from lmcraft.training.micro_batch import StepMemory, choose_micro_batch, estimate_step_memory
from lmcraft.training.objective import Objective
from lmcraft.training.processes import Processes

MEASUREMENTS = 3  # of each kind of attention, alternating; the first one warms up
TOKENS_PER_MEASUREMENT = 1024  # or one row
MAX_UNMEASURED_LENGTH = 128  # tokens in a row: attention is a small part of a step up to here
MIN_SDPA_SPEEDUP = 1.2  # over matrix products; below it, noise would change the choice from run to run
MAX_EVALUATION_SHARE = 0.3  # of a budget, for evaluations and samples at the usual intervals
TOKENS_PER_TIMED_STEP = 4096  # unless the batch is given

AttentionKind = Literal["matmul", "sdpa"]
ATTENTION_NAMES: dict[AttentionKind, str] = {"matmul": "matrix products", "sdpa": "torch's fused attention"}
T = TypeVar("T", bound=TrainConfig)


@dataclass(frozen=True)
class Autotuned:
    """The choices of `autotune`."""

    attention: AttentionKind
    compile: Literal["on", "off"]
    batch_size: int
    micro_batch_size: int
    max_steps: int
    intervals: Mapping[str, int] = field(default_factory=dict)
    """Those of a run whose budget is too small for the usual number of evaluations."""

    def apply(self, config: T, sequence_length: int) -> T:
        """The configuration with these choices, and the intervals that follow from the number of steps."""
        config = replace(
            config,
            attention=self.attention,
            compile=self.compile,
            batch_size=self.batch_size,
            micro_batch_size=self.micro_batch_size,
            **dict[str, Any](self.intervals),
        )
        return depth_rule.resolve_intervals(config, self.max_steps, sequence_length)


def autotune(
    config: T,
    model: TransformerConfig,
    objective: Objective,
    training: Dataset,
    machine: Machine,
    processes: Processes,
    print_line: PrintLine,
    *,
    document_mask: bool,
    account: RunAccount,
    first_step: int,
    measure: Callable[[T], Costs],
) -> Autotuned:
    """Choose the automatic settings of a run and print the reason for each; all processes use the main process's choices.

    Args:
        config: resolved, except for the settings of `Autotuned`.
        model: the model configuration.
        objective: determines the memory of the activations.
        training: the rows of the run; attention is measured on the first ones.
        machine: device, dtype and speed.
        processes: the processes of the run.
        print_line: prints a line.
        document_mask: whether attention stays within a document.
        account: of the run, whose budget sets the length of a run without `max_steps`.
        first_step: the steps that a resumed run has done.
        measure: measures a run without `max_steps`.

    Raises:
        UserError: a single row does not fit in memory, or a step not in the budget.
    """
    length = training.sequence_length
    if config.attention == "auto":
        kind, why = choose_run_attention(model, training, machine, document_mask=document_mask)
        config = replace(config, attention=kind)
        print_line(why)
    is_fixed = config.max_steps and config.compile == "auto"
    seconds = _estimate_seconds(config, model, length, machine) if is_fixed else _seconds_left(account)
    config = processes.agree(_with_compile(config, seconds, machine, print_line))
    memory = None if config.micro_batch_size else _estimate_memory(config, model, objective, length, machine)

    def with_micro_batch(config: T, print_line: PrintLine) -> T:
        if memory is None:
            return config
        rows, why = choose_micro_batch(memory, config.batch_size, length, machine, divides=not config.dp.epsilon)
        print_line(why)
        return processes.agree(replace(config, micro_batch_size=rows))

    intervals = dict[str, int]()
    if not config.max_steps:
        rows = config.batch_size or max(1, TOKENS_PER_TIMED_STEP // length) * processes.data_count
        timed = with_micro_batch(depth_rule.resolve_intervals(replace(config, batch_size=rows), 1, length), str)
        costs = processes.agree(measure(timed))
        config, intervals, why = _fit_length(config, length, costs, account, processes, first_step)
        print_line(why)
    config = with_micro_batch(config, print_line)
    assert config.attention != "auto" and config.compile != "auto"
    sizes = config.batch_size, config.micro_batch_size, config.max_steps
    return Autotuned(config.attention, config.compile, *sizes, intervals)


def _with_compile(config: T, seconds: float, machine: Machine, print_line: PrintLine) -> T:
    """The settings of a run of some seconds with compilation on or off."""
    is_on, why = choose_compile(config.compile, seconds, machine.device)
    if why:
        print_line(why)
    return replace(config, compile="on" if is_on else "off")


def _few_evaluations(config: TrainConfig, length: int, costs: Costs, left: Use) -> dict[str, int]:
    """The intervals of a run with two evaluations and one sample, if the usual ones would leave few steps."""
    if any(getattr(config, name) for name in ("eval_every", "save_every", "sample_every")):
        return {}
    rows = config.batch_size or max(1, TOKENS_PER_TIMED_STEP // length)
    step = costs.token.scaled(rows * length) + costs.update
    validation = costs.validation_token.scaled(config.eval_tokens or depth_rule.MIN_EVAL_TOKENS)
    usual = (validation + costs.save).scaled(depth_rule.EVALUATIONS) + costs.sample.scaled(depth_rule.SAMPLES)
    few = (validation + costs.save).scaled(2) + costs.sample
    if left.contains(Use(usual.seconds, usual.joules)) > 1 / MAX_EVALUATION_SHARE:
        return {}
    steps = left.minus(Use(few.seconds, few.joules)).contains(Use(step.seconds, step.joules))
    if not 2 <= steps < inf:
        return {}
    every = ceil(PLANNED_SHARE * steps / 2)
    return {"eval_every": every, "save_every": every, "sample_every": 2 * every}


def _fit_length(
    config: T, length: int, costs: Costs, account: RunAccount, processes: Processes, first_step: int
) -> tuple[T, dict[str, int], str]:
    """The longest run, of at least one step more, that what is left of the budget has room for.

    Returns:
        The settings, the intervals if they are not the usual ones, and a sentence.

    Raises:
        UserError: it has no room for a step.
    """
    left = processes.agree(account.budget.left())
    intervals = _few_evaluations(config, length, costs, left)
    config = replace(config, **dict[str, Any](intervals))

    def parts_of(tokens: int) -> Energy:
        return sum(costs.parts(depth_rule.resolve_length(config, length, tokens), length).values(), NO_ENERGY)

    def fits(tokens: int) -> bool:
        total = parts_of(tokens)
        return left.contains(Use(total.seconds, total.joules)) * PLANNED_SHARE >= 1

    too_many = 2
    while fits(too_many):
        too_many *= 2
    tokens = bisect_left(range(1, too_many), True, key=lambda tokens: not fits(tokens))
    total = parts_of(max(1, tokens))
    if not tokens:
        account.check_left(config, left.minus(Use(total.seconds, total.joules)))
    fitting = depth_rule.resolve_length(config, length, max(1, tokens))
    account.forecast = account.total() + total
    limits = [format_duration(left.seconds)] if isfinite(left.seconds) else []
    limits += [f"{left.joules / JOULES_PER_WH:.3g} Wh"] if isfinite(left.joules) else []
    steps = count_noun(fitting.max_steps, "step", "steps")
    why = f"the budget is enough for {steps} (measured): {' and '.join(limits)} are left"
    config = replace(config, batch_size=fitting.batch_size)
    return depth_rule.resolve_intervals(config, first_step + fitting.max_steps, length), intervals, why


def _seconds_left(account: RunAccount) -> float:
    """The time until the budget is used up, at the power so far."""
    left, used = account.budget.left(), account.use()
    watts = used.joules / used.seconds if used.seconds else 0.0
    return left.contains(Use(1.0, watts))


def _estimate_seconds(config: TrainConfig, model: TransformerConfig, length: int, machine: Machine) -> float:
    """Seconds of all steps, from their operations and the usual speed."""
    with torch.device("meta"):
        flops = Transformer(model).flops_per_token(length)
    return flops * config.max_steps * config.batch_size * length / (USUAL_SHARE_OF_PEAK * machine.peak_flops)


def _estimate_memory(
    config: TrainConfig, model: TransformerConfig, objective: Objective, length: int, machine: Machine
) -> StepMemory:
    memory = estimate_step_memory(
        model, objective, config.optimizer, length, machine.dtype, checkpointing=config.activation_checkpointing
    )
    more = row_bytes(model, length, machine.dtype) if config.dp.epsilon else 0
    return replace(memory, first_row=memory.first_row + more, next_row=memory.next_row + more)


def choose_run_attention(
    model: TransformerConfig, training: Dataset, machine: Machine, *, document_mask: bool
) -> tuple[AttentionKind, str]:
    """The faster attention for a run, measured on its first rows, and the reason for the choice."""
    rows = range(max(1, TOKENS_PER_MEASUREMENT // training.sequence_length))
    batch = to_device(training.batch(rows), machine.device)
    length = batch.input_ids.shape[1]  # a batch may be shorter than `sequence_length`
    return choose_attention(model, batch.document_ids if document_mask else None, length, machine.device, machine.dtype)


def choose_attention(
    config: TransformerConfig, document_ids_BT: Tensor | None, length: int, device: torch.device, dtype: torch.dtype
) -> tuple[AttentionKind, str]:
    """The faster attention for rows of this length, and the reason for the choice.

    Args:
        config: the whole model's configuration; one layer is measured, forward and backward.
        document_ids_BT: document ids of training rows; None: each row is one document.
        length: T.
        device: GPUs are not measured, because their fused attention never stores the scores.
        dtype: dtype of the activations.
    """
    if device.type != "cpu":
        return "sdpa", f"attention: {ATTENTION_NAMES['sdpa']}, as on every GPU"
    if length <= MAX_UNMEASURED_LENGTH:
        return "matmul", f"attention: {ATTENTION_NAMES['matmul']}, as for all short rows"
    layers = (n for n in range(config.num_hidden_layers) if config.has_attention(n) and not config.shares_keys(n))
    layer = next(layers, None)
    if layer is None:
        return "matmul", "attention: no layer has any"
    one_layer = replace(
        config,
        num_hidden_layers=1,
        vocab_size=1,
        layer_types=config.layer_types[layer : layer + 1],
        no_rope_layers=() if config.has_rotary(layer) else (0,),
        mlp_only_layers=(0,),
        key_sharing=KeySharing(),
        tie_word_embeddings=True,
    )
    model = Transformer(one_layer)
    model.compute_dtype = dtype
    rows = max(1, TOKENS_PER_MEASUREMENT // length)
    if document_ids_BT is not None:
        document_ids_BT = document_ids_BT[:rows]
        rows = len(document_ids_BT)
    x_BTC = torch.randn(rows, length, config.hidden_size, dtype=dtype, requires_grad=True)
    seconds: dict[AttentionKind, float] = {}
    for _ in range(MEASUREMENTS):
        for kind in ATTENTION_NAMES:
            latest = _time_attention(model, kind, x_BTC, document_ids_BT)
            seconds[kind] = min(latest, seconds.get(kind, latest))
    best: AttentionKind = "sdpa" if MIN_SDPA_SPEEDUP * seconds["sdpa"] < seconds["matmul"] else "matmul"
    measured = ", ".join(f"{ATTENTION_NAMES[kind]} {1e3 * seconds[kind]:.1f} ms" for kind in ATTENTION_NAMES)
    return best, f"attention: {ATTENTION_NAMES[best]} (one layer, forward and backward: {measured})"


def _time_attention(model: Transformer, kind: AttentionKind, x_BTC: Tensor, document_ids_BT: Tensor | None) -> float:
    model.use_attention(kind)
    begin = time.perf_counter()
    rotary, mask, *_ = model.layer_inputs(x_BTC.shape[1], document_ids_BT)[0]
    model.get_submodule("layers.0.attention")(x_BTC, rotary, mask, None).sum().backward()
    return time.perf_counter() - begin
