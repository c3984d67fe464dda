"""Epsilon of DP-SGD by lmcraft, Opacus and Google's dp-accounting, over a grid of settings.

python benchmarks/privacy_accounting.py

Needs `pip install opacus dp-accounting`.
"""

import itertools
import time
import warnings
from collections.abc import Callable

import numpy as np
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from opacus.accountants import PRVAccountant, RDPAccountant

from lmcraft.privacy.accounting import noise_multiplier_for, spent_epsilon
from lmcraft.privacy.accounting.prv import MAX_ERROR, MIN_ERROR, RELATIVE_ERROR

RATES, NOISES = (1e-4, 1e-3, 0.01, 0.1, 0.5, 1.0), (0.5, 0.7, 1.0, 2.0, 5.0, 20.0)
STEPS, DELTAS = (1, 10, 300, 3000), (1e-5, 1e-8)
MAX_EPSILON = 60.0
EVERY = 8  # of the settings are also given to the accountant of Google, which takes longer
BUDGETS = [(8.0, 1e-6, 0.01, 1000), (1.0, 1e-6, 0.1, 300), (3.0, 1e-7, 0.001, 30_000), (0.1, 1e-6, 0.05, 500)]

Setting = tuple[float, float, int, float]


def ours(setting: Setting, accountant: str) -> float:
    """Epsilon by lmcraft."""
    rate, noise, steps, delta = setting
    spent_epsilon.cache_clear()
    return spent_epsilon(
        sampling_rate=rate,
        noise_multiplier=noise,
        steps=steps,
        delta=delta,
        accountant="prv" if accountant == "prv" else "rdp",
    )


def opacus(setting: Setting, kind: Callable[[], RDPAccountant | PRVAccountant], **options: float) -> float:
    """Epsilon by Opacus; NaN where it gives up."""
    rate, noise, steps, delta = setting
    accountant = kind()
    accountant.history = [(noise, rate, steps)]
    try:
        return float(accountant.get_epsilon(delta, **options))
    except (RuntimeError, ValueError):
        return float("nan")


def google(setting: Setting) -> float:
    """Epsilon by the privacy loss distributions of dp-accounting: an upper bound, close to exact."""
    rate, noise, steps, delta = setting
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    event = PoissonSampledDpEvent(rate, GaussianDpEvent(noise)) if rate < 1 else GaussianDpEvent(noise)
    accountant.compose(SelfComposedDpEvent(event, steps))
    return float(accountant.get_epsilon(delta))


def timed(function: Callable[..., float], *arguments: object, **options: float) -> tuple[float, float]:
    """The value, and the processor time in seconds."""
    start = time.process_time()
    return function(*arguments, **options), time.process_time() - start


def main() -> None:
    """Print the largest differences and the times."""
    warnings.simplefilter("ignore")
    settings = list(itertools.product(RATES, NOISES, STEPS, DELTAS))
    rdp = [(timed(ours, s, "rdp"), timed(opacus, s, RDPAccountant)) for s in settings]
    kept = [s for s, ((epsilon, _), _) in zip(settings, rdp, strict=True) if epsilon <= MAX_EPSILON]
    print(f"rdp: {len(rdp)} settings, largest difference {max(abs(a - b) / max(1, b / 1e3) for (a, _), (b, _) in rdp):.1e}")
    prv = [(s, timed(ours, s, "prv"), timed(opacus, s, PRVAccountant)) for s in kept]
    whole = [(s, a, b) for s, (a, _), (b, _) in prv if a >= MAX_ERROR / RELATIVE_ERROR and np.isfinite(b)]
    print(f"prv: {len(kept)} settings; Opacus gives up on {sum(not np.isfinite(b) for _, _, (b, _) in prv)}")
    worst = max(whole, key=lambda row: abs(row[1] - row[2]))
    print(f"prv: epsilon >= 0.1 in {len(whole)}, largest difference {abs(worst[1] - worst[2]):.1e} at {worst}", flush=True)
    small = [(s, a) for s, (a, _), (b, _) in prv if a < MAX_ERROR / RELATIVE_ERROR and np.isfinite(b)]
    print(f"prv: epsilon < 0.1 in {len(small)}; the error of ours is a tenth of it")
    differences = []
    for s, a in small[::4]:
        error = max(a * RELATIVE_ERROR / (1 + RELATIVE_ERROR), MIN_ERROR)
        if error > 1e-3:
            differences.append(abs(a - opacus(s, PRVAccountant, eps_error=error)))
    print(f"prv: with the same error, {len(differences)} of them differ from Opacus by at most {max(differences):.1e}")
    print(f"prv: ours {sum(t for _, (_, t), _ in prv):.1f} s, Opacus {sum(t for _, _, (_, t) in prv):.1f} s", flush=True)
    pairs = [(a, google(s)) for s, (a, _), _ in prv[::EVERY]]
    low, high = (choose(a - b for a, b in pairs) for choose in (min, max))
    print(f"pld: {len(pairs)} settings, ours - Google's from {low:.4f} to {high:.4f}")
    for epsilon, delta, rate, steps in BUDGETS:
        noise_multiplier_for.cache_clear()
        noise, seconds = timed(
            lambda: noise_multiplier_for(epsilon=epsilon, delta=delta, sampling_rate=rate, steps=steps)  # noqa: B023
        )
        print(
            f"noise for epsilon {epsilon:g}, delta {delta:g}, rate {rate:g}, {steps} steps: {noise:.4f} in {seconds:.2f} s"
        )


if __name__ == "__main__":
    main()
