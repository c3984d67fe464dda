"""The coordinate check: how far a few steps move the activations of models of different widths.

If learning rates are to fit models of any width, the size of every layer's outputs, and their change since initialization,
must not depend on the width (arXiv 2203.03466, section D.1 and figure 5; arXiv 2310.17813). The change is
RMS(h_t(x) - h_0(x)) over the tokens x of one fixed batch of validation text, where h_t are the outputs after t steps.

Shapes: K kinds of output, S seeds, W widths, N = steps + 1 moments, B rows, T tokens, L layers, C width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.data.loader import Batch
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import choose_machine
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.terminal import PrintLine
from lmcraft.training import depth_rule
from lmcraft.training.display import Display
from lmcraft.training.loop import Trainer

KINDS = ("embedding", "attention", "feed-forward", "final norm", "logits")
STEPS, SEEDS = 6, 3
MIN_WIDTHS = 3
MAX_BATCH_TOKENS = 1024  # per step; whether the activations depend on the width does not depend on the batch
OBSERVED_TOKENS = 256
MAX_SLOPE = 0.25  # of log change by log width, above which a kind counts as dependent on width: 19% per doubling

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CoordinateCheck:
    """The activations by kind, seed, width and step; step 0 is initialization."""

    widths: Sequence[int]
    base_width: int
    """That the learning rates are for; 0: each model's own."""
    sizes: Floats
    """Root mean square of the outputs, KSWN. That of the final norm is without the multiplier of the logits in its gain."""
    changes: Floats
    """Root mean square of the change since initialization, KSWN."""

    def slopes(self, kind: str) -> Floats:
        """For each seed, the slope of log change by log width, the power of the width; the mean over the steps."""
        changes_WSN = self.changes[KINDS.index(kind), :, :, 1:].swapaxes(0, 1)
        seeds, steps = changes_WSN.shape[1:]
        slopes = np.polyfit(np.log(self.widths), np.log(changes_WSN).reshape(len(self.widths), -1), 1)[0]
        mean: Floats = slopes.reshape(seeds, steps).mean(axis=1)
        return mean

    def verdict(self, kind: str) -> str:
        """What the change of a kind of output does as the width grows."""
        slope = float(self.slopes(kind).mean())
        if abs(slope) <= MAX_SLOPE:
            return "does not depend on width"
        return f"{'grows' if slope > 0 else 'shrinks'} with width^{slope:.2f}"

    def summary(self) -> str:
        """Whether learning rates can be taken from one width to another."""
        narrow, wide = self.widths[0], self.widths[-1]
        dependent = [kind for kind in KINDS if abs(self.slopes(kind).mean()) > MAX_SLOPE]
        if not dependent:
            return (
                f"A step moves every kind of output as far at width {wide} as at width {narrow}, so the same learning rates "
                "should be best."
            )
        remedy = (
            f", and base_width={self.base_width} does not make up for it"
            if self.base_width
            else f": tune them at width {narrow} and scale them with --base-width {narrow}"
        )
        return f"The best learning rates change with the width ({', '.join(dependent)}){remedy}."


def check_coordinates(config: PretrainConfig, print_line: PrintLine) -> CoordinateCheck:
    """Train models of the widths `config.coordinate_check` for a few steps, with several seeds.

    Args:
        config: as it was given, not yet resolved. Sizes other than the width follow from the width.
        print_line: prints a line of progress.

    Raises:
        UserError: the configuration cannot run, or the widths are not at least three different ones.
        RunError: the activations of a model are not numbers.
    """
    widths = tuple(sorted(config.coordinate_check))
    check_widths(config, widths)
    narrowest = config_at_width(config, widths[0], widths[0])
    rows = max(1, min(narrowest.batch_size, MAX_BATCH_TOKENS // narrowest.sequence_length))
    machine = choose_machine(config.device, "fp32")  # the rounding of bf16 would hide small changes
    print_line(
        f"coordinate check in {machine.description}: {len(widths)} widths, {SEEDS} seeds, {STEPS} steps of {rows} x "
        f"{narrowest.sequence_length} tokens"
    )
    sizes, changes = (np.empty((len(KINDS), SEEDS, len(widths), STEPS + 1)) for _ in range(2))
    begin = monotonic()
    with Display(max_steps=SEEDS * len(widths), step=0) as display:
        for number, (seed, (column, width)) in enumerate(product(range(SEEDS), enumerate(widths))):
            run = replace(config_at_width(config, width, widths[0]), batch_size=rows, seed=config.seed + seed)
            trainer = PretrainingRun.open(run, machine, ModelFolder(config.out)).build_trainer()
            moments = observe(trainer, STEPS, 1 / run.width_ratio)
            sizes[:, seed, column], changes[:, seed, column] = moments
            if not np.isfinite(moments).all():
                raise RunError(f"the activations at width {width} are not numbers: lower optimizer.learning_rate")
            seconds = (monotonic() - begin) / (number + 1) * (SEEDS * len(widths) - number - 1)
            display.update(number + 1, f"width {width}, seed {run.seed}", seconds_left=seconds)
    return CoordinateCheck(widths, config.base_width, sizes, changes)


def check_widths(config: PretrainConfig, widths: Sequence[int]) -> None:
    """Raise UserError unless the check can compare these widths."""
    listed = " ".join(map(str, config.coordinate_check))
    if len(set(widths)) < max(MIN_WIDTHS, len(widths)) or widths[0] < 1:
        raise UserError(f"coordinate_check={listed} must be at least {MIN_WIDTHS} different widths, such as 32 64 128 256")
    if config.find_lr:
        raise UserError(f"coordinate_check={listed} and find_lr=True are two experiments: leave one of them out")


def config_at_width(config: PretrainConfig, width: int, narrowest: int) -> PretrainConfig:
    """The resolved settings of the check's model of a width, with the proportions of the narrowest one."""
    model = replace(config.model, num_attention_heads=0, num_key_value_heads=0, intermediate_size=0)
    model = depth_rule.keep_proportions(replace(model, hidden_size=width), width, config.base_width or narrowest)
    return replace(
        config,
        model=model,
        coordinate_check=(),
        micro_batch_size=0,
        time_budget=Duration(0),
        energy_budget=EnergyAmount(0),
        tasks=(),
        evaluate_every=0,
        compile="off",
    ).resolved()


def observe(trainer: Trainer, steps: int, multiplier: float) -> Floats:
    """Train; returns the sizes and the changes of the activations before the first step and after each, (2, K, N).

    Args:
        trainer: must not be used afterwards.
        steps: number of steps, all at the full learning rates.
        multiplier: of the logits, in the gain of the final norm.
    """
    ids_BT = observed_ids(trainer)
    first = activations(trainer.model, ids_BT, multiplier)
    results = [[[_rms(x) for x in first], [0.0] * len(KINDS)]]
    for step in range(steps):
        trainer.gradients(step)
        trainer.optimizer.step(1.0)
        now = activations(trainer.model, ids_BT, multiplier)
        results.append([[_rms(x) for x in now], [_rms(x - y) for x, y in zip(now, first, strict=True)]])
    return np.moveaxis(np.array(results), 0, -1)


def observed_ids(trainer: Trainer) -> Tensor:
    """The first tokens of the validation split, (B, T)."""
    dataset = trainer.validation
    length = min(dataset.sequence_length, OBSERVED_TOKENS)
    samples = list(islice(dataset.ordered(), OBSERVED_TOKENS // length))
    return torch.from_numpy(Batch.stack(samples).input_ids[:, :length]).to(trainer.machine.device)


@torch.no_grad()
def activations(model: Transformer, ids_BT: Tensor, multiplier: float) -> list[Tensor]:
    """The outputs of each of the `KINDS`: (B, T, C), (L, B, T, C), (L, B, T, C), (B, T, C), (B, T, V)."""
    outputs: dict[str, list[Tensor]] = {"attention": [], "feed_forward": []}
    handles = [
        getattr(layer, name).register_forward_hook(lambda _module, _inputs, output, name=name: outputs[name].append(output))
        for layer, name in product(model.layers, outputs)
    ]
    model.eval()
    hidden_BTC = model.hidden_states(ids_BT)
    for handle in handles:
        handle.remove()
    blocks = [torch.stack(outputs[name]) for name in outputs]
    return [model.embed(ids_BT), *blocks, hidden_BTC / multiplier, model.logits(hidden_BTC)]


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
