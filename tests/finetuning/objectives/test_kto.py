"""KTO: the losses of judged answers against the formula."""

from collections.abc import Sequence
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
from lmcraft.finetuning.objectives.kto import KTO, KTOLoss
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import batch_of, chat_model, chat_tokenizer, message
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, answer_log_probs
from tests.finetuning.objectives.test_log_probs import PAIRS, plain_log_probs


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


class TestKTO(ObjectiveConformance):
    name = "kto"
    rows = [{"messages": messages, "label": n % 3 > 0} for n, messages in enumerate(CHATS)]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"beta": 0.3, "undesirable_weight": 1.5}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        examples = run.data.examples[: run.data.num_examples]

        def ratio(messages: Sequence[Any]) -> float:
            log_p, log_p0 = (float(answer_log_probs(m, [*messages]).sum()) for m in (model, start))
            return log_p - log_p0

        following = [*examples[1:], examples[0]]
        mismatched = [(*e.messages[:-1], other.messages[-1]) for e, other in zip(examples, following, strict=True)]
        divergence = max(0.0, float(np.mean([ratio(messages) for messages in mismatched])))
        total = 0.0
        for example in examples:
            sign, weight = (1, 1.0) if example.desirable else (-1, 1.5)
            total += weight * (1 - sigmoid(0.3 * sign * (ratio(example.messages) - divergence)))
        return total


DIVERGENCE = 0.5


def test_kto_is_the_formula() -> None:
    losses = KTOLoss(0.5, 3.0, DIVERGENCE).losses(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]))
    expected = [1 - sigmoid(0.5 * (2 - DIVERGENCE)), 3 * (1 - sigmoid(0.5 * (DIVERGENCE - 1)))]
    torch.testing.assert_close(losses, torch.tensor(expected))


@pytest.mark.parametrize(("shift", "positive"), [(2.0, True), (50.0, False)])
@pytest.mark.parametrize("size", [1, 2, 6])
def test_the_divergence_is_the_mean_over_all_rows_and_not_negative(shift: float, positive: bool, size: int) -> None:
    model = chat_model()
    pairs = [replace(PAIRS[n % len(PAIRS)], values=np.zeros(3, np.float32)) for n in range(5)]
    log_probs, _ = plain_log_probs(model, pairs)
    ratios = np.arange(5) + shift  # of the mismatched answers, different in each row
    reference = log_probs[:, 1].detach().numpy() - ratios if positive else log_probs[:, 1].detach().numpy() + shift
    pairs = [replace(pair, values=np.array([0, value, 1], np.float32)) for pair, value in zip(pairs, reference, strict=True)]
    padding = batch_of(pairs[:1], 40)
    padding = replace(padding, targets=torch.full_like(padding.targets, -100))  # as processes without rows have
    batches = [batch_of(pairs[start : start + size], 40) for start in range(0, 5, size)] + [padding]
    loss = KTOLoss(0.1, 1.0).for_batches(model, batches, lambda *sums: [2 * value for value in sums])  # two equal processes
    assert loss.divergence == pytest.approx(float(ratios.mean()) if positive else 0.0, abs=1e-4)


def test_desirable_answers_become_more_likely() -> None:
    ratios = torch.zeros(2, requires_grad=True)
    KTOLoss(0.1, 1.0).losses(ratios, torch.tensor([1.0, 0.0])).sum().backward()
    assert ratios.grad is not None and ratios.grad[0] < 0 < ratios.grad[1]


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
