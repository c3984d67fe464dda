"""Classification: labels as targets, class weights, and the loss against plain cross-entropy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Example, Labeled
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.classification import Classification, ClassificationLoss, balanced_weights
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import batch_of, chat_tokenizer
from tests.finetuning.objectives.conformance import COLORS, QUESTIONS, ObjectiveConformance
from tests.finetuning.test_head import LENGTHS, TARGETS, outputs_by_length, texts, tiny_classifier


def head_output(model: Transformer, text: str, pooling: str) -> Tensor:
    ids = [*chat_tokenizer().begin_ids, *chat_tokenizer().encode(text), chat_tokenizer().eos_token_id]
    x = model.hidden_states(torch.tensor([ids]))[0]
    return model.get_submodule("score")(x[-1] if pooling == "last" else x.mean(dim=0)).double()


class TestClassification(ObjectiveConformance):
    name = "classification"
    rows = [{"text": text, "label": COLORS[n % 4]} for n, text in enumerate(QUESTIONS)]  # noqa: RUF012

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        names = sorted(COLORS)
        return -sum(
            float(head_output(model, example.text, "last").log_softmax(-1)[names.index(example.labels[0])])
            for example in run.data.examples[: run.data.num_examples]
        )


class TestMultiLabelClassification(ObjectiveConformance):
    name = "classification"
    rows = [{"text": text, "labels": [*COLORS[: n % 3]]} for n, text in enumerate(QUESTIONS)]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        return {"pooling": "mean"}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        names, total = sorted(COLORS[:2]), 0.0
        for example in run.data.examples[: run.data.num_examples]:
            p = head_output(model, example.text, "mean").sigmoid()
            true = torch.tensor([name in example.labels for name in names])
            total -= float(torch.where(true, p, 1 - p).log().mean())
        return total


def test_the_loss_is_cross_entropy_packed_and_unpacked() -> None:
    model, weights = tiny_classifier(), (0.5, 2.0, 1.0)
    labels = Labels(("a", "b", "c"))
    logits = torch.stack([outputs_by_length(model, "last")[n] for n in LENGTHS])
    plain = F.cross_entropy(logits, torch.tensor(TARGETS), reduction="none")
    for packing in (True, False):
        batch = batch_of(texts(), 20, packing=packing)
        torch.testing.assert_close(ClassificationLoss(labels).loss(model, batch), plain.sum(), atol=1e-4, rtol=1e-4)
        weighted = sum(loss.item() * weights[target] for loss, target in zip(plain, TARGETS, strict=True))
        assert ClassificationLoss(labels, weights).loss(model, batch).item() == pytest.approx(weighted, rel=1e-4)


def test_the_loss_of_several_labels_is_a_weighted_binary_cross_entropy() -> None:
    model, sets = tiny_classifier(), (0b101, 0b000, 0b010, 0b111, 0b100)
    logits = torch.stack([outputs_by_length(model, "mean")[n] for n in LENGTHS]).double()
    true = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).double()
    p, weights = logits.sigmoid(), torch.tensor([1.0, 2.0, 0.5]).double()
    expected = -(weights * true * p.log() + (1 - true) * (1 - p).log()).mean(dim=1).sum()
    loss = ClassificationLoss(Labels(("a", "b", "c"), multi_label=True, pooling="mean"), (1.0, 2.0, 0.5))
    assert loss.loss(model, batch_of(texts(sets), 20)).item() == pytest.approx(expected.item(), rel=1e-4)


def labeled_examples(*labels: tuple[str, ...]) -> list[Example]:
    return [Labeled(f"text {n}", names) for n, names in enumerate(labels)]


def test_labels_are_sorted_and_texts_can_have_several_if_any_has_not_one() -> None:
    objective = Classification(pooling="mean")
    assert objective.find_labels(labeled_examples(("b",), ("a",), ("b",))) == Labels(("a", "b"), False, "mean")
    assert objective.find_labels(labeled_examples(("b",), ("a", "b"))) == Labels(("a", "b"), True, "mean")
    assert objective.find_labels(labeled_examples(("b",), ())) == Labels(("b",), True, "mean")
    with pytest.raises(UserError, match=r"have 1 label \(a\): at least two"):
        objective.find_labels(labeled_examples(("a",), ("a",)))
    with pytest.raises(UserError, match="at most 62"):
        objective.find_labels(labeled_examples(tuple(f"{n}" for n in range(63))))


def test_rare_labels_weigh_more() -> None:
    examples = labeled_examples(("a",), ("a",), ("a",), ("b",))
    assert balanced_weights(examples, Labels(("a", "b"))) == pytest.approx((4 / 6, 2.0))
    several = Labels(("a", "b"), multi_label=True)
    assert balanced_weights(labeled_examples(("a",), ("a", "b"), ("a",), ()), several) == pytest.approx((1 / 3, 3))


def test_a_label_is_the_target_at_the_end_token_of_its_text() -> None:
    encoder, objective = ExampleEncoder(chat_tokenizer(), [0]), Classification()
    (one,) = objective.encode(labeled_examples(("c",)), encoder, Labels(("a", "b", "c")))
    assert one.input_ids[-1] == 0 and one.targets.tolist() == [IGNORE_INDEX] * (len(one) - 1) + [2]
    several = objective.encode(labeled_examples(("c", "a"), ()), encoder, Labels(("a", "b", "c"), multi_label=True))
    assert np.array_equal([tokens.targets[-1] for tokens in several], [0b101, 0])
    with pytest.raises(UserError, match="example 1: its label 'd' does not occur"):
        objective.encode(labeled_examples(("d",)), encoder, Labels(("a",)))
