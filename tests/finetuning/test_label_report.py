"""Accuracy, F1 and the confusion matrix, counted by hand."""

import pytest
import torch
import torch.nn.functional as F

from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.label_report import build_report


def test_the_report_is_counted_by_hand() -> None:
    predicted = [0, 0, 1, 2, 2, 0]
    true = torch.tensor([0, 0, 1, 1, 2, 2])
    report = build_report(F.one_hot(torch.tensor(predicted), 3).float(), true, Labels(("a", "b", "c")))
    assert report.accuracy == pytest.approx(4 / 6) and report.texts == 6
    assert report.confusion == ((2, 0, 0), (0, 1, 1), (1, 0, 1))
    # a: precision 2/3, recall 1; b: precision 1, recall 1/2; c: precision and recall 1/2
    assert report.f1 == pytest.approx((0.8, 2 / 3, 0.5)) and report.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0.5) / 3)


def test_the_report_of_several_labels_is_counted_by_hand() -> None:
    outputs = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0]])
    report = build_report(outputs, torch.tensor([0b01, 0b01, 0b10, 0b10]), Labels(("a", "b"), multi_label=True))
    assert report.accuracy == 0.5
    assert report.confusion == (
        (2, 0, 0, 2),
        (1, 1, 1, 1),
    )  # true negatives, false positives, false negatives, true positives
    assert report.f1 == pytest.approx((1.0, 0.5)) and report.macro_f1 == 0.75


def test_a_label_that_is_never_predicted_has_an_f1_of_0() -> None:
    assert build_report(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), Labels(("a", "b"))).f1 == (1.0, 0.0)
