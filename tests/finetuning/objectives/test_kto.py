"""KTO: the losses of judged answers against the formula."""

from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Judgment
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.kto import KTO
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.finetuning.training_data import repack
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import chat_tokenizer, message
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, answer_log_probs


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


class TestKTO(ObjectiveConformance):
    """The divergence is estimated per micro-batch, so accumulation equals the large batch only where the estimates agree.

    Here all of them are 0: the reference log-probability of the mismatched answers is set to 0, the highest there is.
    """

    name = "kto"
    rows = [{"messages": messages, "label": n % 3 > 0} for n, messages in enumerate(CHATS)]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"beta": 0.3, "undesirable_weight": 1.5}

    def adjust(self, run: FinetuneRun) -> FinetuneRun:
        def raise_reference(values: Any) -> Any:
            return np.array([values[0], 0.0, values[2]], np.float32)

        tokenized = [
            [replace(example, values=raise_reference(example.values)) for example in split] for split in run.data.tokenized
        ]
        return replace(run, data=repack(run.data, tokenized, run.config, run.objective, run.tokenizer))

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        total = 0.0
        for example in run.data.examples[: run.data.num_examples]:
            log_p, log_p0 = (float(answer_log_probs(m, [*example.messages]).sum()) for m in (model, start))
            sign, weight = (1, 1.0) if example.desirable else (-1, 1.5)
            total += weight * (1 - sigmoid(0.3 * sign * (log_p - log_p0)))
        return total


def test_kto_is_the_formula() -> None:
    policy = torch.tensor([[-10.0, -3.0], [-8.0, -5.0]])
    reference = torch.tensor([[-12.0, -4.0], [-9.0, -5.0]])
    divergence = (1.0 + 0.0) / 2
    losses = KTO(beta=0.5, undesirable_weight=3.0).losses(policy, reference, torch.tensor([1.0, 0.0]))
    expected = [1 - sigmoid(0.5 * (2 - divergence)), 3 * (1 - sigmoid(0.5 * (divergence - 1)))]
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_a_negative_divergence_counts_as_0() -> None:
    policy = torch.tensor([[-10.0, -3.0], [-8.0, -5.0]])
    losses = KTO(beta=0.5).losses(policy, policy + 1, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(losses, torch.tensor([1 - sigmoid(-0.5), 1 - sigmoid(0.5)]))


def test_desirable_answers_become_more_likely_and_mismatched_ones_are_constants() -> None:
    reference = torch.tensor([[-12.0, -13.0], [-8.0, -8.0]])
    policy = reference.clone().requires_grad_(True)
    KTO().losses(policy, reference - 1, torch.tensor([1.0, 0.0])).sum().backward()
    assert policy.grad is not None and policy.grad[0, 0] < 0 < policy.grad[1, 0] and not policy.grad[:, 1].any()


def test_each_example_has_the_answer_of_the_next_one() -> None:
    judgments = [Judgment(tuple(messages), desirable=n == 0) for n, messages in enumerate(CHATS[:3])]
    encoder = ExampleEncoder(chat_tokenizer(), [0])
    encoded = KTO().encode(judgments, encoder, Labels())
    for n, tokens in enumerate(encoded):
        assert tokens.document_ids is not None and tokens.values is not None
        targets = tokens.targets[(tokens.document_ids == 1) & (tokens.targets >= 0)]
        answer = CHATS[(n + 1) % 3][-1]["content"]
        assert chat_tokenizer().decode(targets.tolist(), skip_special_tokens=False) == f"{answer}<|im_end|>"
        assert tokens.values.tolist() == [0, 0, n == 0]
    with pytest.raises(UserError, match="example 1: no message is the assistant's"):
        KTO().encode([Judgment((message("user", "a"),), True)], encoder, Labels())
