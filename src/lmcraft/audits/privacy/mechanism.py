"""The private step of a run, measured, beside what the guarantee of its model claims."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.audits.privacy.every_step import watch_steps
from lmcraft.audits.privacy.one_run import audit_one_run
from lmcraft.audits.privacy.private_step import (
    NoiseMeasurement,
    SamplingMeasurement,
    Sensitivity,
    measure_noise,
    measure_sampling,
    measure_sensitivity,
)
from lmcraft.audits.privacy.results import EpsilonBound, StepCheck
from lmcraft.privacy.accounting import spent_epsilon
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.training.dp.gradients import PrivateGradients

ACCOUNTING_ERROR = 0.02  # of the accountants, in epsilon
LEAST_NOISE = 0.01  # that the accountants count
SAMPLED_STEPS = 5000


@dataclass(frozen=True)
class MechanismAudit:
    """The checks and the bounds of a private step."""

    checks: Sequence[StepCheck]
    bounds: Sequence[EpsilonBound]


def audit_mechanism(source: PrivateGradients, claim: Guarantee, *, seconds: float, seed: int = 0) -> MechanismAudit:
    """Measure the step of a run, and bound what all of its steps give away.

    Args:
        source: the step of the run, with the weights that are audited and with a secret that nobody else uses.
        claim: of the model.
        seconds: for the sampling, and again for watching all steps.
        seed: of the random choices of the audit.
    """
    sensitivity = measure_sensitivity(source, seed)
    noise = measure_noise(source)
    sampling = measure_sampling(source, max(claim.steps, SAMPLED_STEPS), seconds)
    spent = spent_epsilon(
        sampling_rate=claim.sampling_rate,
        noise_multiplier=claim.noise_multiplier,
        steps=claim.steps,
        delta=claim.delta - claim.truncation_delta,
    )
    checks = [
        *_step_checks(claim, sensitivity, noise, sampling),
        StepCheck(
            "accounting",
            f"epsilon {claim.epsilon:.3f} after {claim.steps:,} steps",
            f"{spent:.3f}",
            spent <= claim.epsilon + ACCOUNTING_ERROR,
        ),
    ]
    watched = watch_steps(source, claim.steps, min(sensitivity.largest, 1e6), seconds=seconds, seed=seed)
    bounds = [_compose(claim, sensitivity, noise, sampling)]
    for gaussian in (False, True):
        bound = audit_one_run(watched.scores, watched.included, claim.delta, gaussian=gaussian)
        guesses = bound.guesses
        bounds.append(
            EpsilonBound(
                "every step",
                "one run, Gaussian" if gaussian else "one run",
                bound.epsilon,
                f"{guesses.right:,} of {guesses.count:,} coins guessed right, {guesses.canaries:,} canaries, "
                f"{watched.steps:,} steps",
            )
        )
    return MechanismAudit(checks, bounds)


def _step_checks(
    claim: Guarantee, sensitivity: Sensitivity, noise: NoiseMeasurement, sampling: SamplingMeasurement
) -> list[StepCheck]:
    assert noise.std.high is not None and sampling.rate.low is not None
    multiplier, rate = claim.noise_multiplier, claim.sampling_rate
    return [
        StepCheck(
            "clipping",
            "a unit's gradient has norm 1 x the limit at most",
            f"{sensitivity.largest:.4f} at most, {sensitivity.clipped} of {sensitivity.count} units were longer",
            sensitivity.passed,
        ),
        StepCheck(
            "noise",
            f"{multiplier:.4g} x the limit",
            f"{noise.std.value:.4g}",
            noise.std.high >= multiplier,
        ),
        StepCheck(
            "noise of each weight",
            f"{multiplier:.4g} x the limit",
            f"at most {noise.least:.4g} in {noise.weight}",
            noise.least >= multiplier,
        ),
        StepCheck(
            "independent noise", "no correlation", "none" if noise.is_independent else "correlated", noise.is_independent
        ),
        StepCheck("sampling rate", f"{rate:.4g}", f"{sampling.rate.value:.4g}", sampling.rate.low <= rate),
        StepCheck(
            "sampling rate of each unit",
            f"{rate:.4g}",
            f"at least {sampling.most_drawn:.4g} for the most frequent one",
            sampling.most_drawn <= rate,
        ),
        StepCheck("independent draws", "Poisson", "Poisson" if sampling.is_poisson else "not Poisson", sampling.is_poisson),
        StepCheck(
            "rows of a step",
            "as many as units are drawn",
            "as many" if sampling.reads_draws else "more",
            sampling.reads_draws,
        ),
    ]


def _compose(
    claim: Guarantee, sensitivity: Sensitivity, noise: NoiseMeasurement, sampling: SamplingMeasurement
) -> EpsilonBound:
    """The epsilon of all steps with the least that the measurements leave open."""
    assert noise.std.high is not None and sampling.rate.low is not None
    most_noise = min(noise.std.high, noise.least) / max(sensitivity.largest, 1e-9)
    rate = max(sampling.rate.low, sampling.most_drawn)
    epsilon = 0.0
    if rate > 0:
        spent = spent_epsilon(
            sampling_rate=min(rate, 1.0),
            noise_multiplier=min(max(most_noise, LEAST_NOISE), 1e7),
            steps=claim.steps,
            delta=claim.delta - claim.truncation_delta,
        )
        epsilon = max(0.0, spent - ACCOUNTING_ERROR)
    return EpsilonBound(
        "every step",
        "measured step, composed",
        epsilon,
        f"noise at most {most_noise:.4g} x the longest gradient, sampling rate at least {rate:.4g}, {claim.steps:,} steps",
    )
