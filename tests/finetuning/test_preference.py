"""Losses of preferences against their formulas, in numbers written out."""

from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.finetuning.classify import add_head
from lmcraft.finetuning.packing import PackedRows, Piece
from lmcraft.finetuning.preference import (
    TOGETHER,
    Preferences,
    document_log_probs,
    judgment_losses,
    preference_losses,
    token_log_probs,
)
from lmcraft.finetuning.reward import Reward, margins
from lmcraft.model.transformer import Transformer
from lmcraft.training.loop import to_device
from lmcraft.training.objective import TensorBatch
from tests.finetuning.chat import piece
from tests.tiny import tiny_model

POLICY, REFERENCE = torch.tensor([[-10.0, -14.0], [-8.0, -6.0]]), torch.tensor([[-12.0, -13.0], [-8.0, -8.0]])
COUNTS = torch.tensor([[4.0, 2.0], [2.0, 4.0]])
# (log p / p0)(better) - (log p / p0)(worse): 2 - (-1) and 0 - 2; of a token: 2 / 4 - (-1) / 2 and 0 / 2 - 2 / 4.
H, H_OF_A_TOKEN = (3.0, -2.0), (1.0, -0.5)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_dpo_is_the_formula() -> None:
    found = preference_losses(POLICY, REFERENCE, COUNTS, beta=0.5)
    torch.testing.assert_close(found, torch.tensor([-log(sigmoid(0.5 * h)) for h in H]))
    torch.testing.assert_close(found, torch.tensor([0.2014133, 1.3132617]))


def test_dpo_of_a_token_is_the_formula() -> None:
    found = preference_losses(POLICY, REFERENCE, COUNTS, beta=0.5, normalized=True)
    torch.testing.assert_close(found, torch.tensor([-log(sigmoid(0.5 * h)) for h in H_OF_A_TOKEN]))


def test_ipo_is_the_formula() -> None:
    found = preference_losses(POLICY, REFERENCE, COUNTS, beta=0.25, loss="ipo")
    torch.testing.assert_close(found, torch.tensor([(1.0 - 2) ** 2, (-0.5 - 2) ** 2]))


def test_kto_is_the_formula() -> None:
    policy = torch.tensor([[-10.0, -3.0], [-8.0, -5.0]])
    reference = torch.tensor([[-12.0, -4.0], [-9.0, -5.0]])
    baseline = (1.0 + 0.0) / 2
    found = judgment_losses(policy, reference, torch.tensor([1.0, 0.0]), beta=0.5, weights=(1.0, 3.0))
    expected = [1 - sigmoid(0.5 * (2 - baseline)), 3 * (1 - sigmoid(0.5 * (baseline - 1)))]
    torch.testing.assert_close(found, torch.tensor(expected))
    nearer = judgment_losses(policy, policy + 1, torch.tensor([1.0, 0.0]), beta=0.5)
    torch.testing.assert_close(nearer, torch.tensor([1 - sigmoid(-0.5), 1 - sigmoid(0.5)]))


def test_a_policy_that_is_its_reference_has_a_loss_of_log_2() -> None:
    torch.testing.assert_close(preference_losses(POLICY, POLICY, COUNTS, beta=0.1), torch.full((2,), log(2)))


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_the_better_answer_becomes_likelier_and_the_worse_one_less(loss: str) -> None:
    policy = REFERENCE.clone().requires_grad_(True)
    preference_losses(policy, REFERENCE, COUNTS, beta=0.1, loss=loss).sum().backward()  # type: ignore[arg-type]
    assert policy.grad is not None and (policy.grad[:, 0] < 0).all() and (policy.grad[:, 1] > 0).all()


def test_a_wanted_answer_becomes_likelier_and_the_other_prompts_are_constants() -> None:
    policy = REFERENCE.clone().requires_grad_(True)
    judgment_losses(policy, REFERENCE - 1, torch.tensor([1.0, 0.0]), beta=0.1).sum().backward()
    assert policy.grad is not None and policy.grad[0, 0] < 0 < policy.grad[1, 0] and not policy.grad[:, 1].any()


def pair(*lengths: int, learned_from: int = 2, values: int = 2) -> Piece:
    """Two documents in one piece."""
    both = [piece(n, seed=n, learned_from=learned_from) for n in lengths]
    return Piece(
        np.concatenate([p.input_ids for p in both]),
        np.concatenate([p.targets for p in both]),
        np.repeat(np.arange(len(both)), lengths),
        np.zeros(values, np.float32),
    )


PAIRS = [pair(7, 12), pair(20, 5)]


def rows(pieces: list[Piece]) -> Batch:
    return Batch.stack(list(PackedRows(pieces, 40).ordered()))


def alone(model: Transformer, pieces: list[Piece]) -> tuple[Tensor, Tensor]:
    """Each document by itself through a plain log_softmax."""
    sums, counts = [], []
    for some in pieces:
        assert some.document_ids is not None
        for document in range(2):
            here = some.document_ids == document
            targets = torch.from_numpy(some.targets[here])
            log_probs = model(torch.from_numpy(some.input_ids[here])[None])[0].log_softmax(-1)
            learned = targets != IGNORE_INDEX
            sums.append(log_probs[learned].gather(1, targets[learned][:, None]).sum())
            counts.append(learned.sum().float())
    return torch.stack(sums).view(-1, 2), torch.stack(counts).view(-1, 2)


@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_log_probabilities_of_documents_are_those_of_each_alone(position: str) -> None:
    model = tiny_model(position=position)
    found, counts = document_log_probs(model, to_device(rows(PAIRS), model.device))
    expected, expected_counts = alone(model, PAIRS)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    assert torch.equal(counts, expected_counts)


def test_log_probabilities_in_parts_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(TOGETHER + 10, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    targets = torch.randint(0, 30, (TOGETHER + 10,))
    expected = (x @ weight.t()).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    found = token_log_probs(x, weight, targets)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((some * torch.arange(len(x))).sum(), (x, weight)) for some in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-2, rtol=1e-4)
    assert token_log_probs(x[:0], weight, targets[:0]).shape == (0,)


def known(batch: Batch, values: Tensor) -> TensorBatch:
    given = to_device(batch, values.device)
    return TensorBatch(given.input_ids, given.targets, given.document_ids, values)


def test_the_objective_is_the_loss_of_each_row_and_leaves_empty_rows_out() -> None:
    model, batch = tiny_model(), rows(PAIRS)
    policy, counts = alone(model, PAIRS)
    values = policy.detach() + torch.tensor([[0.5, -0.5], [1.0, 2.0]])
    for objective, loss, normalized in (
        (Preferences("dpo", 0.3), "dpo", False),
        (Preferences("ipo", 0.3), "ipo", False),
        (Preferences("dpo", 0.3, normalized=True), "dpo", True),
    ):
        expected = preference_losses(
            policy,
            values,
            counts,
            beta=0.3,
            loss=loss,
            normalized=normalized,  # type: ignore[arg-type]
        ).sum()
        torch.testing.assert_close(objective.loss(model, known(batch, values)), expected, atol=1e-4, rtol=1e-4)
        assert objective.measure(model, known(batch, values)) == objective.loss(model, known(batch, values))
        assert objective.count(batch) == 2 and objective.count(batch.without_targets()) == 0
        assert objective.loss(model, known(batch.without_targets(), values)) == 0


def test_judged_answers_are_weighed_by_the_objective() -> None:
    model, pieces = tiny_model(), [pair(7, 12, values=3), pair(20, 5, values=3)]
    policy, _ = alone(model, pieces)
    values = torch.cat([policy.detach() + 0.5, torch.tensor([[1.0], [0.0]])], dim=1)
    expected = judgment_losses(policy, values[:, :2], values[:, 2], beta=0.3, weights=(1.0, 2.0)).sum()
    found = Preferences("kto", 0.3, weights=(1.0, 2.0)).loss(model, known(rows(pieces), values))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_reward_is_of_the_last_tokens_of_both_answers() -> None:
    model = tiny_model()
    add_head(model, 1)
    pieces = []
    for some in PAIRS:
        assert some.document_ids is not None
        ends = np.append(some.document_ids[1:] != some.document_ids[:-1], True)
        pieces.append(Piece(some.input_ids, np.where(ends, 0, IGNORE_INDEX), some.document_ids, some.values))
    head = model.get_submodule("score")
    expected = []
    for some in pieces:
        rewards = [
            head(model.hidden_states(torch.from_numpy(some.input_ids[some.document_ids == document])[None])[0, -1])
            for document in range(2)
        ]
        expected.append(rewards[0] - rewards[1])
    batch = to_device(rows(pieces), model.device)
    torch.testing.assert_close(margins(model, batch), torch.cat(expected), atol=1e-5, rtol=1e-4)
    total = sum(-log(sigmoid(margin.item())) for margin in expected)
    assert Reward().loss(model, batch).item() == pytest.approx(total, rel=1e-4)
    assert Reward().count(rows(pieces)) == 2
