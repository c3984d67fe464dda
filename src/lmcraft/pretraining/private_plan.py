"""Size, batch and length of a private run: those of the lowest loss within budgets of compute and privacy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from lmcraft.data.loader import TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PlanConfig
from lmcraft.pretraining.plan import PrivacyPlan, PrivateChoice
from lmcraft.pretraining.private_law import LAW
from lmcraft.privacy.accounting import default_delta, rough_noise_multiplier
from lmcraft.quantities import Duration
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training import depth_rule
from lmcraft.training.dp.mechanism import plan_mechanism
from lmcraft.training.dp.units import DocumentUnits

MAX_DEPTH = 12
MIN_STEPS = 20
MIN_BATCH = 16
ORDINARY_SIZE = "size and batch as without privacy"
ORDINARY_BATCH = "this size, batch as without privacy"


@dataclass(frozen=True)
class Size:
    """A model that can be chosen."""

    depth: int
    parameters: int
    flops_per_token: int
    row_tokens: float
    """Tokens of a document in its row, on average."""


@dataclass(frozen=True)
class Budget:
    """What the steps of a run may cost, in some unit."""

    total: float
    of_step: Callable[[Size, float], float]
    """The cost of a step of a model with a number of tokens."""

    def steps(self, size: Size, batch_size: float) -> int:
        """The steps that it pays for."""
        return int(self.total / self.of_step(size, batch_size * size.row_tokens))


def list_sizes(config: PlanConfig) -> tuple[list[Size], int]:
    """The models to choose from, which is that of the configuration if it sets the number of blocks; the documents."""
    is_set = config.depth is not None or config.model.num_hidden_layers
    depths = [config.depth] if is_set else range(1, MAX_DEPTH + 1)
    split, end = TokenSplit(DatasetFolder(config.data), "train"), Tokenizer.load(config.data).eos_token_id
    units: dict[int, DocumentUnits] = {}
    sizes = []
    for depth in depths:
        one_step = sized(config, depth).resolved()
        length = one_step.sequence_length
        if length not in units:
            units[length] = DocumentUnits(split, length, end)
        with torch.device("meta"):
            model = Transformer(one_step.model)
        parameters, flops = model.num_parameters(), model.flops_per_token(length)
        sizes.append(Size(one_step.depth or 0, parameters, flops, units[length].mean_length))
    return sizes, len(next(iter(units.values())))


def sized(config: PlanConfig, depth: int | None, batch_size: int = 1) -> PlanConfig:
    """The configuration of a single step, of a model with this many blocks."""
    return replace(
        config,
        depth=depth,
        batch_size=batch_size,
        micro_batch_size=0,
        max_steps=1,
        max_tokens=0,
        time_budget=Duration(0),
        tflops=0.0,
    )


@dataclass
class PrivateChooser:
    """Chooses what a configuration leaves open.

    Args:
        config: with a privacy budget; what it sets stays.
        units: number of documents in the training data.
        budget: of compute.
    """

    config: PlanConfig
    units: int
    budget: Budget

    def choose(self, sizes: list[Size]) -> tuple[PlanConfig, PrivacyPlan]:
        """The configuration with depth, batch and steps, and what speaks for them.

        Raises:
            UserError: the budgets allow no run.
        """
        config = self.config
        candidates = [choice for size in sizes for batch in self._batches(size) for choice in self._choice(size, batch)]
        if not candidates:
            raise UserError(
                f"the budgets do not pay for {MIN_STEPS} steps: raise the time, the tokens or "
                f"dp.epsilon={config.dp.epsilon:g}"
            )
        best = min(candidates, key=lambda choice: choice.loss)
        mechanism = plan_mechanism(config.dp, "document", units=self.units, batch_size=best.batch_size, steps=best.steps)
        if config.dp.noise_multiplier and mechanism.affordable_steps < best.steps:
            raise UserError(
                f"dp.noise_multiplier={config.dp.noise_multiplier:g} pays for {mechanism.affordable_steps} of {best.steps} "
                f"steps within dp.epsilon={config.dp.epsilon:g}: leave it out"
            )
        best = replace(best, noise_multiplier=mechanism.noise_multiplier)
        chosen = replace(
            config,
            depth=best.depth,
            batch_size=best.batch_size,
            max_steps=best.steps,
            max_tokens=0,
            time_budget=Duration(0),
        )
        return chosen, PrivacyPlan(
            units=self.units,
            row_tokens=next(size.row_tokens for size in sizes if size.depth == best.depth),
            epsilon=config.dp.epsilon,
            delta=mechanism.delta,
            truncation_delta=mechanism.truncation_delta,
            sampling_rate=mechanism.sampling_rate,
            max_rows=mechanism.max_rows,
            best=best,
            others=list(self._ordinary(sizes, best)),
            outside=LAW.outside(best.parameters, best.steps, best.noise_multiplier / best.batch_size),
        )

    def _batches(self, size: Size) -> list[int]:
        """The batch of ordinary training, and larger ones up to half of the units: privacy never wants smaller ones."""
        if self.config.batch_size:
            return [self.config.batch_size]
        ordinary, most = self._ordinary_batch(size), max(self.units // 2, 1)
        return [min(round(ordinary * 2 ** (half / 2)), most) for half in range(40) if ordinary * 2 ** (half / 2) < 2 * most]

    def _ordinary_batch(self, size: Size) -> int:
        """The batch of the depth rule for the tokens that the budget pays for, in documents."""
        tokens = self._tokens(size)
        rule, affordable = depth_rule.batch_tokens(int(tokens)) / size.row_tokens, tokens / size.row_tokens / MIN_STEPS
        return max(1, int(min(max(MIN_BATCH, rule), affordable, self.units / 2)))

    def _choice(self, size: Size, batch_size: int, name: str = "") -> Iterator[PrivateChoice]:
        """The longest run of a model and a batch, if the budgets allow one."""
        affordable = self.budget.steps(size, batch_size)
        steps = self.config.max_steps or affordable
        is_fixed = self.config.batch_size and self.config.max_steps
        if (steps < MIN_STEPS or steps > affordable) and not is_fixed:
            return
        noise = self._noise_multiplier(batch_size, steps)
        if noise is not None:
            loss = LAW.loss(size.parameters, batch_size, steps, noise / batch_size)
            yield PrivateChoice(name, size.depth, size.parameters, batch_size, steps, noise, loss)

    def _noise_multiplier(self, batch_size: int, steps: int) -> float | None:
        """About the noise that the run will have."""
        dp = self.config.dp
        return dp.noise_multiplier or rough_noise_multiplier(
            epsilon=dp.epsilon,
            delta=dp.delta or default_delta(self.units),
            sampling_rate=batch_size / self.units,
            steps=steps,
        )

    def _ordinary(self, sizes: list[Size], best: PrivateChoice) -> Iterator[PrivateChoice]:
        """What ordinary training would use: the compute-optimal size, and the batch of the depth rule."""
        affordable = [size for size in sizes if self._tokens(size) >= depth_rule.TOKENS_PER_PARAMETER * size.parameters]
        optimal = max(affordable or sizes[:1], key=lambda size: size.parameters)
        chosen = next(size for size in sizes if size.depth == best.depth)
        for size, name in ({chosen: ORDINARY_BATCH} | {optimal: ORDINARY_SIZE}).items():
            batch_size = self._ordinary_batch(size)
            if (size.depth, batch_size) != (best.depth, best.batch_size):
                yield from self._choice(size, batch_size, name)

    def _tokens(self, size: Size) -> float:
        """The tokens that the budget pays for, in steps of many."""
        return self.budget.total / self.budget.of_step(size, 2**20) * 2**20
