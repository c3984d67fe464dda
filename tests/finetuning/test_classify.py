"""A head on a model: what it sees of each text, what it minimizes, and how well it does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.finetuning.classify import Classification, Pooling, add_head, assess, bits, scores
from lmcraft.finetuning.examples import Example, Labeled
from lmcraft.finetuning.files import Labels
from lmcraft.finetuning.packing import Piece
from lmcraft.finetuning.pieces import Pieces, balanced_weights, labels_of, split_examples
from lmcraft.finetuning.tokens import Encoder
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import batch_of, chat_tokenizer, piece
from tests.tiny import tiny_model

LENGTHS, TARGETS = (9, 4, 1, 14, 6), (2, 0, 1, 1, 2)


def classifier(labels: int = 3, **settings: str) -> Transformer:
    model = tiny_model(**settings)
    add_head(model, labels)
    return model


def texts(targets: tuple[int, ...] = TARGETS) -> list[Piece]:
    found = []
    for length, target in zip(LENGTHS, targets, strict=True):
        ends = np.full(length, IGNORE_INDEX)
        ends[-1] = target
        found.append(Piece(piece(length).input_ids, ends))
    return found


def alone(model: Transformer, pooling: Pooling) -> dict[int, Tensor]:
    """The head's outputs for each text by itself, by its length."""
    head, found = model.get_submodule("score"), {}
    for some in texts():
        x = model.hidden_states(torch.from_numpy(some.input_ids)[None])[0]
        found[len(some)] = head(x[-1] if pooling == "last" else x.mean(dim=0))
    return found


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("position", ["rotary", "learned"])
@pytest.mark.parametrize("packing", [True, False])
@torch.no_grad()
def test_packed_texts_are_seen_as_each_alone(pooling: Pooling, position: str, packing: bool) -> None:
    model = classifier(position=position)
    batch = batch_of(texts(), 20, packing=packing)
    found, targets = scores(model, batch, pooling)
    expected = alone(model, pooling)
    assert sorted(targets.tolist()) == sorted(TARGETS)
    rows = [expected[n] for n in LENGTHS]
    places = [min(range(len(rows)), key=lambda n, row=row: float((rows[n] - row).abs().max())) for row in found]
    assert sorted(places) == list(range(len(rows)))
    torch.testing.assert_close(found, torch.stack([rows[n] for n in places]), atol=1e-4, rtol=1e-4)
    assert [TARGETS[n] for n in places] == targets.tolist()


def test_the_loss_is_cross_entropy_whatever_the_packing() -> None:
    model, weights = classifier(), (0.5, 2.0, 1.0)
    logits = torch.stack([alone(model, "last")[n] for n in LENGTHS])
    plain = F.cross_entropy(logits, torch.tensor(TARGETS), reduction="none")
    for packing in (True, False):
        batch = batch_of(texts(), 20, packing=packing)
        torch.testing.assert_close(Classification(3).loss(model, batch), plain.sum(), atol=1e-4, rtol=1e-4)
        weighted = sum(loss.item() * weights[target] for loss, target in zip(plain, TARGETS, strict=True))
        assert Classification(3, class_weights=weights).loss(model, batch).item() == pytest.approx(weighted, rel=1e-4)


def test_several_labels_are_bits_and_each_a_yes_or_no() -> None:
    model, sets = classifier(), (0b101, 0b000, 0b010, 0b111, 0b100)
    logits = torch.stack([alone(model, "mean")[n] for n in LENGTHS]).double()
    yes = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).double()
    assert torch.equal(bits(torch.tensor(sets), 3).double(), yes)
    p, weights = logits.sigmoid(), torch.tensor([1.0, 2.0, 0.5]).double()
    expected = -(weights * yes * p.log() + (1 - yes) * (1 - p).log()).mean(dim=1).sum()
    objective = Classification(3, several=True, pooling="mean", class_weights=(1.0, 2.0, 0.5))
    found = objective.loss(model, batch_of(texts(sets), 20))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_last_of_many_labels_is_a_bit_too() -> None:
    assert bits(torch.tensor([1 << 61 | 1]), 62)[0].nonzero().flatten().tolist() == [0, 61]


def test_the_report_is_counted_by_hand() -> None:
    said = [0, 0, 1, 2, 2, 0]
    true = torch.tensor([0, 0, 1, 1, 2, 2])
    report = assess(F.one_hot(torch.tensor(said), 3).float(), true, ("a", "b", "c"), several=False)
    assert report.accuracy == pytest.approx(4 / 6) and report.texts == 6
    assert report.confusion == ((2, 0, 0), (0, 1, 1), (1, 0, 1))
    # a: precision 2/3, recall 1; b: precision 1, recall 1/2; c: precision and recall 1/2
    assert report.f1 == pytest.approx((0.8, 2 / 3, 0.5)) and report.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0.5) / 3)


def test_the_report_of_several_labels_is_counted_by_hand() -> None:
    found = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0]])
    report = assess(found, torch.tensor([0b01, 0b01, 0b10, 0b10]), ("a", "b"), several=True)
    assert report.accuracy == 0.5
    assert report.confusion == ((2, 0, 0, 2), (1, 1, 1, 1))  # of each: right no, wrong yes, missed, found
    assert report.f1 == pytest.approx((1.0, 0.5)) and report.macro_f1 == 0.75


def test_a_label_that_is_never_found_has_an_f1_of_0() -> None:
    assert assess(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), ("a", "b"), several=False).f1 == (1.0, 0.0)


def labeled(*labels: tuple[str, ...]) -> list[Example]:
    return [Labeled(f"text {n}", some) for n, some in enumerate(labels)]


def test_labels_are_sorted_and_several_where_any_text_has_not_one() -> None:
    assert labels_of(labeled(("b",), ("a",), ("b",))) == (("a", "b"), False)
    assert labels_of(labeled(("b",), ("a", "b"))) == (("a", "b"), True)
    assert labels_of(labeled(("b",), ())) == (("b",), True)
    with pytest.raises(UserError, match="labels a: at least two"):
        labels_of(labeled(("a",), ("a",)))
    with pytest.raises(UserError, match="at most 62"):
        labels_of(labeled(tuple(f"{n}" for n in range(63))))


def test_rare_labels_weigh_more() -> None:
    examples = labeled(("a",), ("a",), ("a",), ("b",))
    assert balanced_weights(examples, ("a", "b"), several=False) == pytest.approx((4 / 6, 2.0))
    assert balanced_weights(labeled(("a",), ("a", "b"), ("a",), ()), ("a", "b"), several=True) == pytest.approx((1 / 3, 3))


def test_a_label_stands_at_the_end_token_of_its_text() -> None:
    encoder = Encoder(chat_tokenizer(), [0])
    one = Pieces(encoder, "classify", ("a", "b", "c")).of(labeled(("c",)))[0]
    assert one.input_ids[-1] == 0 and one.targets.tolist() == [IGNORE_INDEX] * (len(one) - 1) + [2]
    several = Pieces(encoder, "classify", ("a", "b", "c"), several=True).of(labeled(("c", "a"), ()))
    assert [some.targets[-1] for some in several] == [0b101, 0]
    with pytest.raises(UserError, match="example 1: its label 'd' is not among"):
        Pieces(encoder, "classify", ("a",)).of(labeled(("d",)))


def test_equal_examples_are_on_one_side_of_a_split() -> None:
    examples = labeled(*[("a",)] * 200)
    training, validation = split_examples([*examples, *examples], 0.2, 1)
    assert not {*training} & {*validation} and len(training) + len(validation) == 400 and 40 < len(validation) < 120
    assert split_examples(examples, 0.2, 1)[1] != split_examples(examples, 0.2, 2)[1]


def test_what_outputs_stand_for() -> None:
    labels = Labels(("a", "b", "c"))
    outputs = torch.tensor([-1.0, 2.0, 1.0])
    assert labels.of(outputs) == "b" and replace(labels, several=True).of(outputs) == "b, c"
    assert Labels(()).of(outputs) == "-1.00"
