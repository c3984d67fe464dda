"""Likelihoods, classifiers and reports of labels on a GPU equal the CPU's."""

import pytest
import torch

from lmcraft.evaluation.likelihood import score_texts
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.label_report import build_report
from tests.evaluation.test_likelihood import ARCHITECTURES, make_texts
from tests.finetuning.test_text_classifier import TEXTS, classifier
from tests.tiny import tiny_model

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_likelihoods_equal_the_cpus(name: str, gpu: torch.device) -> None:
    texts = make_texts()
    expected, actual = (score_texts(tiny_model(**ARCHITECTURES[name]).to(device), texts) for device in ("cpu", gpu))
    assert [text.is_greedy for text in actual] == [text.is_greedy for text in expected]
    assert [text.total for text in actual] == pytest.approx([text.total for text in expected], abs=1e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_classifier_gives_the_cpus_probabilities(multi_label: bool, gpu: torch.device) -> None:
    expected, on_gpu = classifier(multi_label=multi_label), classifier(multi_label=multi_label)
    on_gpu.transformer.to(gpu)
    for actual, row in zip(on_gpu.probabilities(TEXTS), expected.probabilities(TEXTS), strict=True):
        assert actual == pytest.approx(row, abs=1e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_report_of_labels_equals_the_cpus(multi_label: bool, gpu: torch.device) -> None:
    outputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    targets, labels = torch.arange(40) % 3, Labels(("a", "b", "c"), multi_label=multi_label)
    assert build_report(outputs.to(gpu), targets.to(gpu), labels) == build_report(outputs, targets, labels)
