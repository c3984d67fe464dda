"""The stages of a strategy: which datasets and models it needs, from one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lmcraft.audits.strategies.corpus import Corpus
from lmcraft.audits.strategies.experiment import ExperimentFile, Strategy
from lmcraft.audits.strategies.ingredients import INGREDIENTS, OBJECTIVES, ingredients_of
from lmcraft.audits.strategies.stages import Stage
from lmcraft.errors import UserError

ATTACKS = ("benign", "hostile")
ATTACK_STEPS = 200
VALIDATION = 0.05  # of each dataset
PAIR_PROMPTS, PAIR_SAMPLES = 300, 8
VARIANTS = {"": "corpus", "filter": "filtered", "balance": "balanced"}
"""The texts that an ingredient of kind "data" trains on."""
GUIDES = ("filtered", "refused")
"""The texts of the models to steer toward and away from."""
FULL: Mapping[str, Any] = {"method": {"name": "full"}, "objective": "continued"}


@dataclass(frozen=True)
class Arm:
    """One strategy from one seed."""

    strategy: Strategy
    seed: int
    model: Stage
    steering: tuple[Stage, ...] = ()
    """The models to steer toward and away from; none: it is not steered."""
    guarded: bool = False
    """Whether the policy judges what it writes."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self.model, *self.steering)


@dataclass(frozen=True)
class Planner:
    """Builds the stages of all strategies of an experiment over its corpus."""

    file: ExperimentFile
    corpus: Corpus

    def arm(self, strategy: Strategy, seed: int) -> Arm:
        """The stages of a strategy. Whatever it is made of, training reads as many tokens."""
        data = "".join(ingredients_of(strategy.use, "data"))
        objective = "".join(ingredients_of(strategy.use, "objective"))
        tunings = ingredients_of(strategy.use, "tuning")
        is_steered = "steering" in strategy.use
        steps = self._share_out(len(tunings) + 2 * is_steered)
        model = self._pretrained(data, objective, seed, shortened=bool(steps))
        for tuning in tunings:
            model = self._tuned(model, tuning, steps.pop(), seed)
        steering = tuple(self._expert(model, texts, steps.pop(), seed) for texts in (GUIDES if is_steered else ()))
        return Arm(strategy, seed, model, steering, "guard" in strategy.use)

    def attacked(self, arm: Arm, attack: str) -> Arm:
        """The same strategy after somebody has tuned its model on other texts."""
        settings = _merge(FULL, self.file.tables["tuning"], {"max_steps": ATTACK_STEPS}, self.file.tables["attack"])
        model = Stage(
            "finetune",
            f"{attack} after {arm.model.name}",
            {**settings, "seed": arm.seed},
            (arm.model, self._dataset(attack)),
        )
        return Arm(arm.strategy, arm.seed, model, arm.steering, arm.guarded)

    @cached_property
    def attacks(self) -> Sequence[str]:
        """The attacks for which there are texts."""
        return [name for name in ATTACKS if self.corpus.file(name).is_file()]

    @property
    def _steps(self) -> int:
        return int(self.file.tables["pretrain"]["max_steps"])

    @property
    def _tuning_steps(self) -> int:
        return max(1, round(self._steps * self.file.settings.tuning_share))

    def _share_out(self, parts: int) -> list[int]:
        """The steps of each part of the tuning, which together are all steps of tuning.

        Raises:
            UserError: there are more parts than steps.
        """
        if parts > (total := self._tuning_steps):
            raise UserError(
                f"tuning_share={self.file.settings.tuning_share:g} of pretrain.max_steps={self._steps} leaves {total} steps "
                f"to tune {parts} models: raise one of them"
            )
        return [total * (part + 1) // parts - total * part // parts for part in range(parts)]

    def _pretrained(self, data: str, objective: str, seed: int, *, shortened: bool) -> Stage:
        steps = self._steps - self._tuning_steps if shortened else self._steps
        settings = _merge(self.file.tables["pretrain"], {"seed": seed, "max_steps": steps})
        if objective:
            settings["objective"] = OBJECTIVES[objective]
        name = "-".join(filter(None, (data, objective))) or "baseline"
        return Stage("pretrain", f"{name} seed {seed}", settings, (self._dataset(VARIANTS[data], marked=True),))

    def _tuned(self, model: Stage, tuning: str, steps: int, seed: int) -> Stage:
        ingredient = INGREDIENTS[tuning]
        settings = _merge(
            FULL,
            self._batch,
            self.file.tables["tuning"],
            ingredient.settings,
            self.file.tables[tuning],
            {"max_steps": steps, "seed": seed},
        )
        return Stage("finetune", f"{tuning} after {model.name}", settings, (model, self._lessons(model, tuning, seed)))

    def _lessons(self, model: Stage, tuning: str, seed: int) -> Stage:
        """What a tuning learns from."""
        source = INGREDIENTS[tuning].learns_from
        if source == "filtered":
            return self._dataset("filtered")
        prompts = {"texts": str(self.corpus.file("refused")), "policy": self.file.policy, "prompts": PAIR_PROMPTS}
        if source == "prompts":
            return Stage("prompts", "prompts", prompts)
        sampling = {"samples": PAIR_SAMPLES, "max_new_tokens": self.file.settings.measure.max_new_tokens, "seed": seed}
        return Stage("pairs", f"pairs of {model.name}", prompts | sampling, (model,))

    def _expert(self, model: Stage, variant: str, steps: int, seed: int) -> Stage:
        settings = _merge(FULL, self._batch, self.file.tables["tuning"], {"max_steps": steps, "seed": seed})
        return Stage("finetune", f"{variant} expert of {model.name}", settings, (model, self._dataset(variant)))

    @property
    def _batch(self) -> dict[str, Any]:
        """Steps of tuning read as many tokens as those of pretraining."""
        pretrain = self.file.tables["pretrain"]
        return {key: pretrain[key] for key in ("batch_size", "sequence_length", "device", "precision") if key in pretrain}

    def _dataset(self, texts: str, *, marked: bool = False) -> Stage:
        """The dataset of a variant of the corpus.

        Pretraining reads marked ones, whatever its objective, so that every strategy has the same text in a row.
        """
        recipe: dict[str, Any] = {
            "source": [{"name": "texts", "paths": [str(self.corpus.file(texts))]}],
            "stage": [{"kind": "mark", "policy": self.file.policy}] if marked else [],
            "validation": VALIDATION,
            "executor": {"workers": 1},
        }
        if marked and texts == "corpus":
            return Stage("dataset", "corpus", recipe | {"vocab_size": self.file.settings.corpus.vocab_size})
        return Stage("dataset", texts, recipe, (self._dataset("corpus", marked=True),))


def _merge(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of settings, later ones over earlier ones."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            earlier = merged.get(key)
            both = isinstance(value, Mapping) and isinstance(earlier, Mapping)
            merged[key] = _merge(earlier, value) if both else value  # type: ignore[arg-type]
    return merged
