"""The private step of a run, measured, beside what the guarantee of its model claims."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.audits.privacy.every_step import watch_steps
from lmcraft.audits.privacy.one_run import CONFIDENCE, audit_one_run
from lmcraft.audits.privacy.private_step import (
    NoiseMeasurement,
    SamplingMeasurement,
    Sensitivity,
    measure_noise,
    measure_sampling,
    measure_sensitivity,
)
from lmcraft.audits.privacy.results import EpsilonBound, Statement, StepCheck
from lmcraft.privacy.accounting import spent_epsilon
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.training.dp.gradients import PrivateGradients

ACCOUNTING_ERROR = 0.02  # of the accountants, in epsilon
LEAST_NOISE, MOST_NOISE = 0.01, 1e7  # that the accountants count
MOST_SENSITIVITY = 1e6
LEVEL_OF_EACH = (1 + CONFIDENCE) / 2  # of two bounds that hold together with the confidence
INDEPENDENT = Statement("independent")
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
    checks = [*_step_checks(claim, sensitivity, noise, sampling), _accounting_check(claim)]
    watched = watch_steps(source, claim.steps, min(sensitivity.largest, MOST_SENSITIVITY), seconds=seconds, seed=seed)
    bounds = [_compose(claim, sensitivity, noise, sampling)]
    for method, gaussian in (("one run", False), ("one run, Gaussian", True)):
        bound = audit_one_run(watched.scores, watched.included, claim.delta, gaussian=gaussian, confidence=LEVEL_OF_EACH)
        detail = Statement(
            "{right} of {guesses} coins guessed right, {canaries} canaries, {steps} steps",
            {
                "right": f"{bound.guesses.right:,}",
                "guesses": f"{bound.guesses.count:,}",
                "canaries": f"{bound.guesses.canaries:,}",
                "steps": f"{watched.steps:,}",
            },
        )
        bounds.append(EpsilonBound("every step", method, bound.epsilon, detail))
    return MechanismAudit(checks, bounds)


def _accounting_check(claim: Guarantee) -> StepCheck:
    """What the steps spend by the tight accountant, beside the claimed epsilon."""
    spent = spent_epsilon(
        sampling_rate=claim.sampling_rate,
        noise_multiplier=claim.noise_multiplier,
        steps=claim.steps,
        delta=claim.delta - claim.truncation_delta,
    )
    claimed = Statement(
        "epsilon {epsilon} after {steps} steps", {"epsilon": f"{claim.epsilon:.3f}", "steps": f"{claim.steps:,}"}
    )
    measured = Statement("epsilon {epsilon} spent", {"epsilon": f"{spent:.3f}"})
    return StepCheck("accounting", claimed, measured, spent <= claim.epsilon + ACCOUNTING_ERROR)


def _step_checks(
    claim: Guarantee, sensitivity: Sensitivity, noise: NoiseMeasurement, sampling: SamplingMeasurement
) -> list[StepCheck]:
    assert noise.std.high is not None and sampling.rate.low is not None
    multiplier, rate = claim.noise_multiplier, claim.sampling_rate
    claimed_noise, claimed_rate = _of_limit(multiplier), Statement(f"{rate:.4g}")
    longest = Statement(
        "{norm} of the limit; {clipped} of {count} gradients were longer",
        {"norm": f"{sensitivity.largest:.4f}", "clipped": sensitivity.clipped, "count": sensitivity.count},
    )
    weakest = Statement("at most {noise} in {weight}", {"noise": f"{noise.least:.4g}", "weight": noise.weight})
    most_drawn = Statement("at least {rate} for the most frequent unit", {"rate": f"{sampling.most_drawn:.4g}"})
    return [
        StepCheck("longest gradient of a unit", Statement("1 of the limit"), longest, sensitivity.passed),
        StepCheck("noise", claimed_noise, _of_limit(noise.std.value), noise.std.high >= multiplier),
        StepCheck("noise of each weight", claimed_noise, weakest, noise.least >= multiplier),
        StepCheck("noise of steps and weights", INDEPENDENT, _whether(noise.is_independent), noise.is_independent),
        StepCheck("sampling rate", claimed_rate, Statement(f"{sampling.rate.value:.4g}"), sampling.rate.low <= rate),
        StepCheck("sampling rate of each unit", claimed_rate, most_drawn, sampling.most_drawn <= rate),
        StepCheck("draws of units and steps", INDEPENDENT, _whether(sampling.is_poisson), sampling.is_poisson),
        StepCheck(
            "rows of a step",
            Statement("one per drawn unit"),
            Statement("one per drawn unit" if sampling.reads_draws else "more"),
            sampling.reads_draws,
        ),
    ]


def _of_limit(noise: float) -> Statement:
    return Statement("{noise} of the limit", {"noise": f"{noise:.4g}"})


def _whether(independent: bool) -> Statement:
    return INDEPENDENT if independent else Statement("not independent")


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
            noise_multiplier=min(max(most_noise, LEAST_NOISE), MOST_NOISE),
            steps=claim.steps,
            delta=claim.delta - claim.truncation_delta,
        )
        epsilon = max(0.0, spent - ACCOUNTING_ERROR)
    detail = Statement(
        "noise at most {noise} of the longest gradient, sampling rate at least {rate}, {steps} steps",
        {"noise": f"{most_noise:.4g}", "rate": f"{rate:.4g}", "steps": f"{claim.steps:,}"},
    )
    return EpsilonBound("every step", "measured step, composed", epsilon, detail)
