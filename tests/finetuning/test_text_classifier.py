"""A fine-tuned classifier at inference: probabilities, labels, and errors."""

import re
from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from tests.finetuning.chat import chat_model, chat_tokenizer

TEXTS = ["the fox", "the lazy dog jumps over the quick brown fox", "a"]


def classifier(*, multi_label: bool = False) -> Classifier:
    model = chat_model()
    torch.manual_seed(0)
    add_head(model, 3)
    model.get_submodule(HEAD).weight.data.mul_(50)
    return Classifier(model, chat_tokenizer(), Labels(("a", "b", "c"), multi_label=multi_label))


@torch.no_grad()
def test_probabilities_are_those_of_each_text_alone() -> None:
    labels = classifier()
    for text, probabilities in zip(TEXTS, labels.probabilities(TEXTS), strict=True):
        ids = torch.tensor([[*chat_tokenizer().begin_ids, *chat_tokenizer().encode(text), chat_tokenizer().eos_token_id]])
        outputs = labels.transformer.get_submodule(HEAD)(labels.transformer.hidden_states(ids)[0, -1])
        assert list(probabilities) == ["a", "b", "c"]
        assert list(probabilities.values()) == pytest.approx(outputs.softmax(-1).tolist(), rel=1e-3)
    assert labels.probabilities([]) == []


def test_the_label_is_the_most_likely_or_all_above_half() -> None:
    assert classifier().choose_label({"a": 0.2, "b": 0.7, "c": 0.1}) == "b"
    assert classifier(multi_label=True).choose_label({"a": 0.6, "b": 0.4, "c": 0.9}) == "a, c"
    labels = classifier()
    assert labels.classify(TEXTS) == [labels.choose_label(row) for row in labels.probabilities(TEXTS)]


def test_the_text_form_shows_model_and_labels() -> None:
    assert re.fullmatch(r"Classifier\(.* parameters, .*; 3 labels: a, b, c\)", repr(classifier()))


def test_a_text_longer_than_the_context_is_refused() -> None:
    with pytest.raises(UserError, match="does not fit the model's context of 128 tokens"):
        classifier().probabilities(["word " * 200])


def test_a_folder_without_labels_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"an empty folder, not a classifier: .*--objective classification"):
        Classifier.load(tmp_path)
    (tmp_path / "lmcraft").mkdir()
    (tmp_path / "lmcraft" / "labels.json").write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        Classifier.load(tmp_path)
