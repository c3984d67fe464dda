"""How good a model becomes that trains with differential privacy, as far as size, batch, length and noise decide.

The noise of a step falls with the batch, and the more slowly than the budget's noise multiplier grows, so private
training wants fewer weights and larger batches than ordinary training does (McKenna et al. 2025, arXiv 2501.18914).
Their law is of BERT; this one is fitted to runs of `lmcraft pretrain` (benchmarks/dp_plan.py).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivateLaw:
    """loss = least + (start - least) / (1 + (S / half)^power), where least = floor + size * (1e5 / N)^size_power.

    N is the number of weights, and S = steps / (1 + rows / B + (noise * R)^2 * (N / 1e5)^noise_power)^drag the steps that
    count, with batches of B documents and R = noise multiplier / B: rows is the noise of drawing them, noise that of
    privacy. Losses are in nats per token.
    """

    start: float
    """Loss before training: log of the vocabulary's size."""
    floor: float
    size: float
    size_power: float
    half: float
    """Steps that count after which half is learned."""
    power: float
    rows: float
    noise: float
    noise_power: float
    drag: float

    def loss(self, parameters: float, batch_size: float, steps: float, noise_ratio: float) -> float:
        """Loss after training.

        Args:
            parameters: number of trained weights.
            batch_size: documents per step.
            steps: length of the run.
            noise_ratio: noise multiplier / batch size.
        """
        relative = parameters / 1e5
        noise = (self.noise * noise_ratio) ** 2 * relative**self.noise_power
        useful = steps / (1 + self.rows / batch_size + noise) ** self.drag
        least = self.floor + self.size / relative**self.size_power
        return float(least + (self.start - least) / (1 + (useful / self.half) ** self.power))

    def outside(self, parameters: float, steps: float, noise_ratio: float) -> list[str]:
        """Sentences about what is beyond the runs that `LAW` was fitted to."""
        if noise_ratio > DROWNING_NOISE:
            return [
                f"{noise_ratio:.2g} of noise per document of a batch hides nearly all that a model could learn: use more "
                "documents or a larger epsilon, or fine-tune a public model"
            ]
        ranges = {
            "parameters": (parameters, PARAMETERS),
            "steps": (steps, STEPS),
            "noise per document": (noise_ratio, NOISE_RATIOS),
        }
        return [
            f"the law of private training was fitted to runs with {low:g} to {high:g} {name}; this plan has {value:.3g}: "
            "try half and twice the size, too"
            for name, (value, (low, high)) in ranges.items()
            if not low / 3 <= value <= 3 * high
        ]


PARAMETERS, STEPS, NOISE_RATIOS = (2e4, 8e5), (40, 160), (1e-4, 6e-3)
DROWNING_NOISE = 0.02  # with which the law's runs ended where they began, or worse
# Root mean square error 0.06 nats over the runs of benchmarks/dp_plan.md.
LAW = PrivateLaw(
    start=6.93,
    floor=0.0,
    size=1.150,
    size_power=0.431,
    half=154.6,
    power=0.434,
    rows=75.9,
    noise=3810.0,
    noise_power=0.631,
    drag=0.623,
)
