"""How often the settings that matter are put in the right order: by ours, and by Optuna's PED-ANOVA.

python benchmarks/importance.py [--searches 50]

Prints the table of `lmcraft.hyperparameters.importance`. The searches minimize a function of five settings: the first one
has a quadratic effect and diverges at its upper end, the second a linear one, the third a weak one, the others none. Needs
Optuna.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from lmcraft.hyperparameters.importance import estimate_importance
from lmcraft.hyperparameters.space import Dimension, Space
from lmcraft.hyperparameters.trial import State, Trial

SETTINGS = 5
NAMES = [f"trial.x{number}" for number in range(SETTINGS)]
RIGHT_ORDER = NAMES[:2]
SPACE = Space(settings={}, dimensions=[Dimension(name=name, kind="float", low=0, high=1) for name in NAMES])
NOISE = 0.03
DIVERGES_FROM = 0.88

Searched = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Points, (trials, settings), and their values."""


def loss(point: Sequence[float] | NDArray[np.float64], rng: np.random.Generator) -> float:
    """The function that the searches minimize."""
    value = 3 + 8 * (point[0] - 0.55) ** 2 + 0.4 * (1 - point[1]) + 0.1 * abs(point[2] - 0.5) + NOISE * rng.normal()
    return float(value + (rng.exponential(3) if point[0] > DIVERGES_FROM else 0))


def search_randomly(trials: int, seed: int) -> Searched:
    """Independent points."""
    rng = np.random.default_rng(seed)
    points = rng.random((trials, SETTINGS))
    return points, np.array([loss(point, rng) for point in points])


def search_with_tpe(trials: int, seed: int) -> Searched:
    """The points of Optuna's TPE."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    study.optimize(lambda trial: loss([trial.suggest_float(name, 0, 1) for name in NAMES], rng), trials)
    points = [[trial.params[name] for name in NAMES] for trial in study.trials]
    return np.array(points), np.array([trial.value for trial in study.trials])


def order_by_ours(searched: Searched) -> list[str]:
    """The settings, the most important one first."""
    trials = [
        Trial(number=n, point=dict(zip(NAMES, row, strict=True)), state=State.COMPLETE, values={"loss": value})
        for n, (row, value) in enumerate(zip(searched[0].tolist(), searched[1].tolist(), strict=True))
    ]
    return list(estimate_importance(SPACE, trials, "loss", 1).settings)


def order_by_ped_anova(searched: Searched, quantile: float) -> list[str]:
    """The settings, the most important one first."""
    study = optuna.create_study()
    ranges = dict.fromkeys(NAMES, optuna.distributions.FloatDistribution(0, 1))
    for row, value in zip(searched[0].tolist(), searched[1].tolist(), strict=True):
        params = dict(zip(NAMES, row, strict=True))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=value))
    return list(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile)))


METHODS: dict[str, Callable[[Searched], list[str]]] = {
    "ours": order_by_ours,
    "PED-ANOVA, best 10%": lambda searched: order_by_ped_anova(searched, 0.1),
    "PED-ANOVA, best 30%": lambda searched: order_by_ped_anova(searched, 0.3),
}


def main() -> None:
    """Print the share of searches in which the first two settings are in order, for each number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=50)
    searches = parser.parse_args().searches
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| trials | sampler |", " | ".join(METHODS), "|")
    print("| --- " * (2 + len(METHODS)) + "|")
    for trials in (12, 25, 60):
        for sampler, search in (("random", search_randomly), ("TPE", search_with_tpe)):
            results = [search(trials, seed) for seed in range(searches)]
            right = {name: np.mean([order(r)[:2] == RIGHT_ORDER for r in results]) for name, order in METHODS.items()}
            print(f"| {trials} | {sampler} |", " | ".join(f"{share:.0%}" for share in right.values()), "|", flush=True)


if __name__ == "__main__":
    main()
