"""DPO and IPO: the losses of pairs against their formulas, in numbers written out."""

from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.finetuning.objectives.dpo import DPO, IPO
from lmcraft.finetuning.objectives.preferences import PairwiseObjective
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.objectives.conformance import PAIRS, ObjectiveConformance, answer_log_probs

POLICY, REFERENCE = torch.tensor([[-10.0, -14.0], [-8.0, -6.0]]), torch.tensor([[-12.0, -13.0], [-8.0, -8.0]])
COUNTS = torch.tensor([[4.0, 2.0], [2.0, 4.0]])
# (log p / p0)(chosen) - (log p / p0)(rejected): 2 - (-1) and 0 - 2; per token: 2 / 4 - (-1) / 2 and 0 / 2 - 2 / 4.
H, H_PER_TOKEN = (3.0, -2.0), (1.0, -0.5)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def log_ratios(model: Transformer, start: Transformer, run: FinetuneRun) -> list[tuple[float, float, float, float]]:
    """log p/p0 of the chosen and of the rejected answer of each pair, and their lengths."""
    rows = []
    for example in run.data.examples[: run.data.num_examples]:
        ratios, lengths = [], []
        for answer in (example.chosen, example.rejected):
            messages = [*example.prompt, answer]
            ratio = answer_log_probs(model, messages) - answer_log_probs(start, messages)
            ratios.append(float(ratio.sum()))
            lengths.append(float(len(ratio)))
        rows.append((ratios[0], ratios[1], lengths[0], lengths[1]))
    return rows


class TestDPO(ObjectiveConformance):
    name = "dpo"
    rows = PAIRS

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"beta": 0.3}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        return sum(-log(sigmoid(0.3 * (chosen - rejected))) for chosen, rejected, *_ in log_ratios(model, start, run))


class TestLengthNormalizedDPO(TestDPO):
    def settings(self, folder: Path) -> dict[str, Any]:
        return {"beta": 0.3, "length_normalized": True}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        return sum(-log(sigmoid(0.3 * (c / m - r / n))) for c, r, m, n in log_ratios(model, start, run))


class TestIPO(ObjectiveConformance):
    name = "ipo"
    rows = PAIRS

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        return sum((c / m - r / n - 1 / (2 * 0.1)) ** 2 for c, r, m, n in log_ratios(model, start, run))


def test_dpo_is_the_formula() -> None:
    losses = DPO(beta=0.5).pair_losses(POLICY, REFERENCE, COUNTS)
    torch.testing.assert_close(losses, torch.tensor([-log(sigmoid(0.5 * h)) for h in H]))
    torch.testing.assert_close(losses, torch.tensor([0.2014133, 1.3132617]))


def test_length_normalized_dpo_is_the_formula() -> None:
    losses = DPO(beta=0.5, length_normalized=True).pair_losses(POLICY, REFERENCE, COUNTS)
    torch.testing.assert_close(losses, torch.tensor([-log(sigmoid(0.5 * h)) for h in H_PER_TOKEN]))


def test_ipo_is_the_formula() -> None:
    losses = IPO(beta=0.25).pair_losses(POLICY, REFERENCE, COUNTS)
    torch.testing.assert_close(losses, torch.tensor([(1.0 - 2) ** 2, (-0.5 - 2) ** 2]))


def test_a_policy_that_is_its_reference_has_a_loss_of_log_2() -> None:
    torch.testing.assert_close(DPO().pair_losses(POLICY, POLICY, COUNTS), torch.full((2,), log(2)))


@pytest.mark.parametrize("objective", [DPO(), IPO(), DPO(length_normalized=True)])
def test_the_chosen_answer_becomes_more_likely_and_the_rejected_one_less(objective: PairwiseObjective) -> None:
    policy = REFERENCE.clone().requires_grad_(True)
    objective.pair_losses(policy, REFERENCE, COUNTS).sum().backward()
    assert policy.grad is not None and (policy.grad[:, 0] < 0).all() and (policy.grad[:, 1] > 0).all()
