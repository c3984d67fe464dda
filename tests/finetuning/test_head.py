"""The head: the positions that it reads, and the meaning of its outputs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.head import Labels, Pooling, add_head, head_outputs, multi_hot
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import batch_of, random_example
from tests.tiny import tiny_model

LENGTHS, TARGETS = (9, 4, 1, 14, 6), (2, 0, 1, 1, 2)


def tiny_classifier(labels: int = 3, **settings: str) -> Transformer:
    model = tiny_model(**settings)
    add_head(model, labels)
    return model


def texts(targets: tuple[int, ...] = TARGETS) -> list[TokenizedExample]:
    examples = []
    for length, target in zip(LENGTHS, targets, strict=True):
        ends = np.full(length, IGNORE_INDEX)
        ends[-1] = target
        examples.append(TokenizedExample(random_example(length).input_ids, ends))
    return examples


def outputs_by_length(model: Transformer, pooling: Pooling) -> dict[int, Tensor]:
    """The head's outputs for each text alone, by its length."""
    head, outputs = model.get_submodule("score"), {}
    for example in texts():
        x = model.hidden_states(torch.from_numpy(example.input_ids)[None])[0]
        outputs[len(example)] = head(x[-1] if pooling == "last" else x.mean(dim=0))
    return outputs


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("position", ["rotary", "learned"])
@pytest.mark.parametrize("packing", [True, False])
@torch.no_grad()
def test_outputs_of_packed_texts_are_those_of_each_alone(pooling: Pooling, position: str, packing: bool) -> None:
    model = tiny_classifier(position=position)
    batch = batch_of(texts(), 20, packing=packing)
    outputs, targets = head_outputs(model, batch, pooling)
    expected = outputs_by_length(model, pooling)
    assert sorted(targets.tolist()) == sorted(TARGETS)
    rows = [expected[n] for n in LENGTHS]
    order = [min(range(len(rows)), key=lambda n, row=row: float((rows[n] - row).abs().max())) for row in outputs]
    assert sorted(order) == list(range(len(rows)))
    torch.testing.assert_close(outputs, torch.stack([rows[n] for n in order]), atol=1e-4, rtol=1e-4)
    assert [TARGETS[n] for n in order] == targets.tolist()


def test_sets_of_labels_are_bits() -> None:
    sets = torch.tensor([0b101, 0b000, 0b010, 0b111, 0b100])
    expected = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).float()
    assert torch.equal(multi_hot(sets, 3), expected)
    assert multi_hot(torch.tensor([1 << 61 | 1]), 62)[0].nonzero().flatten().tolist() == [0, 61]


def test_predictions_are_a_label_several_labels_or_a_reward() -> None:
    outputs = torch.tensor([-1.0, 2.0, 1.0])
    assert Labels(("a", "b", "c")).predict(outputs) == "b"
    assert Labels(("a", "b", "c"), multi_label=True).predict(outputs) == "b, c"
    assert Labels().predict(outputs) == "-1.00"
