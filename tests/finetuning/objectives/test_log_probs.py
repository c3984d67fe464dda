"""Log-probabilities of tokens and answers against a plain log_softmax."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.objectives.log_probs import TARGETS_PER_CHUNK, document_log_probs, token_log_probs
from lmcraft.finetuning.packing import PackedRows
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from tests.finetuning.chat import random_example
from tests.tiny import tiny_model


def pair(*lengths: int, learned_from: int = 2, values: int = 2) -> TokenizedExample:
    """Two documents in one example."""
    both = [random_example(n, seed=n, learned_from=learned_from) for n in lengths]
    return TokenizedExample(
        np.concatenate([document.input_ids for document in both]),
        np.concatenate([document.targets for document in both]),
        np.repeat(np.arange(len(both)), lengths),
        np.zeros(values, np.float32),
    )


PAIRS = [pair(7, 12), pair(20, 5)]


def batch_of_pairs(pairs: list[TokenizedExample]) -> Batch:
    return Batch.stack(list(PackedRows(pairs, 40).ordered()))


def plain_log_probs(model: Transformer, pairs: list[TokenizedExample]) -> tuple[Tensor, Tensor]:
    """Each document alone through a plain log_softmax."""
    sums, counts = [], []
    for example in pairs:
        assert example.document_ids is not None
        for document in range(2):
            mask = example.document_ids == document
            targets = torch.from_numpy(example.targets[mask])
            log_probs = model(torch.from_numpy(example.input_ids[mask])[None])[0].log_softmax(-1)
            learned = targets != IGNORE_INDEX
            sums.append(log_probs[learned].gather(1, targets[learned][:, None]).sum())
            counts.append(learned.sum().float())
    return torch.stack(sums).view(-1, 2), torch.stack(counts).view(-1, 2)


@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_log_probabilities_of_documents_are_those_of_each_alone(position: str) -> None:
    model = tiny_model(position=position)
    log_probs, counts = document_log_probs(model, to_device(batch_of_pairs(PAIRS), model.device))
    expected, expected_counts = plain_log_probs(model, PAIRS)
    torch.testing.assert_close(log_probs, expected, atol=1e-4, rtol=1e-5)
    assert torch.equal(counts, expected_counts)


def test_log_probabilities_in_chunks_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    x = torch.randn(TARGETS_PER_CHUNK + 10, 8, requires_grad=True)
    weight = torch.randn(30, 8, requires_grad=True)
    targets = torch.randint(0, 30, (TARGETS_PER_CHUNK + 10,))
    expected = (x @ weight.t()).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    actual = token_log_probs(x, OutputHead(weight), targets)
    torch.testing.assert_close(actual, expected)
    gradients = [torch.autograd.grad((values * torch.arange(len(x))).sum(), (x, weight)) for values in (actual, expected)]
    torch.testing.assert_close(*gradients, atol=1e-2, rtol=1e-4)
    assert token_log_probs(x[:0], OutputHead(weight), targets[:0]).shape == (0,)
