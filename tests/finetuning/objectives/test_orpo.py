"""ORPO: the loss of pairs against the formula, in numbers written out, and against TRL's form of it."""

from math import exp, log

import pytest
import torch
import torch.nn.functional as F

from lmcraft.finetuning.objectives.orpo import ORPO
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.objectives.conformance import PAIRS, ObjectiveConformance, answer_log_probs

POLICY, COUNTS = torch.tensor([[-4.0, -6.0], [-3.0, -0.5]]), torch.tensor([[4.0, 3.0], [2.0, 5.0]])
MEANS = ((-1.0, -2.0), (-1.5, -0.1))  # log-probability per token


def orpo_loss(chosen: float, rejected: float, weight: float) -> float:
    """The loss of a pair, from mean log-probabilities."""
    odds = [exp(mean) / (1 - exp(mean)) for mean in (chosen, rejected)]
    ratio = odds[0] / odds[1]
    return -chosen - weight * log(ratio / (1 + ratio))


class TestORPO(ObjectiveConformance):
    name = "orpo"
    rows = PAIRS

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        total = 0.0
        for example in run.data.examples[: run.data.num_examples]:
            chosen, rejected = (
                float(answer_log_probs(model, [*example.prompt, answer]).mean())
                for answer in (example.chosen, example.rejected)
            )
            total += orpo_loss(chosen, rejected, 0.1)
        return total


def test_orpo_is_the_formula() -> None:
    losses = ORPO(beta=0.5).pair_losses(POLICY, torch.zeros(2, 2), COUNTS)
    torch.testing.assert_close(losses, torch.tensor([orpo_loss(*means, 0.5) for means in MEANS]))
    # odds 0.5819767 and 0.1565176, ratio 3.7182817; odds 0.2872169 and 9.5083319, ratio 0.0302069
    torch.testing.assert_close(losses, torch.tensor([1 + 0.5 * 0.2381830, 1.5 + 0.5 * 3.5294456]), atol=1e-5, rtol=1e-5)


def test_orpo_is_trls_formula() -> None:
    chosen, rejected = (POLICY / COUNTS).unbind(dim=1)
    log_odds = (chosen - rejected) - (torch.log1p(-torch.exp(chosen)) - torch.log1p(-torch.exp(rejected)))
    expected = -chosen + 0.1 * -F.logsigmoid(log_odds)
    torch.testing.assert_close(ORPO().pair_losses(POLICY, torch.zeros(2, 2), COUNTS), expected)


def test_the_chosen_answer_becomes_more_likely_and_the_rejected_one_less() -> None:
    policy = POLICY.clone().requires_grad_(True)
    ORPO().pair_losses(policy, torch.zeros(2, 2), COUNTS).sum().backward()
    assert policy.grad is not None and (policy.grad[:, 0] < 0).all() and (policy.grad[:, 1] > 0).all()


@pytest.mark.parametrize("certain", [0.0, -1e-9])
def test_a_certain_answer_and_a_padding_row_have_finite_losses(certain: float) -> None:
    policy = torch.tensor([[certain, -3.0], [0.0, 0.0]]).requires_grad_(True)
    losses = ORPO().pair_losses(policy, torch.zeros(2, 2), torch.tensor([[2.0, 2.0], [0.0, 0.0]]))
    losses.sum().backward()
    assert losses.isfinite().all() and policy.grad is not None and policy.grad.isfinite().all()
