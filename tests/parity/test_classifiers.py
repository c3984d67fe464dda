"""Classifiers against transformers and PEFT: the same folder gives the same outputs, whatever pads a batch."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import Labels, add_head
from lmcraft.finetuning.methods import set_trainable_weights
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.finetuning.tuned_model import snapshot
from lmcraft.folder import write_json
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.tiny import GPT2, TEXT

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

TEXTS = [*TEXT.split("\n\n")[:6], "a", "the lazy dog"]
LABELS = Labels(("a", "b", "c"))


def padded_tokenizer(pad: str | None, folder: Path) -> Tokenizer:
    chat_tokenizer().save(folder)
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>", "pad_token": pad})
    return Tokenizer.load(folder)


def save_classifier(method: MethodConfig, pad: str | None, folder: Path, labels: Labels = LABELS, **settings: Any) -> Path:
    tokenizer, model = padded_tokenizer(pad, folder / "tokenizer"), chat_model(**settings)
    LanguageModel(model, tokenizer).save(folder / "base")
    torch.manual_seed(0)
    add_head(model, len(labels.names))
    set_trainable_weights(model, method)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.1 * torch.randn_like(p)
    out = folder / "out"
    out.mkdir()
    snapshot(model, method, str(folder / "base"), tokenizer, (0,), labels)(out)
    labels.save(out)
    return out


def theirs(method: MethodConfig, folder: Path) -> Any:
    if not method.adapts:
        return transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder.parent / "base", num_labels=len(LABELS.names), dtype=torch.float32
    )
    return peft.PeftModel.from_pretrained(base, folder).eval()


@pytest.mark.parametrize("pad", ["<|im_end|>", "<|endoftext|>", None])
@pytest.mark.parametrize("name", ["full", "lora"])
@torch.no_grad()
def test_outputs_are_those_of_transformers_and_peft(name: Any, pad: str | None, tmp_path: Path) -> None:
    method = MethodConfig(name=name, rank=2)
    folder = save_classifier(method, pad, tmp_path)
    model, tokenizer = theirs(method, folder), transformers.AutoTokenizer.from_pretrained(folder)
    expected = torch.tensor([list(row.values()) for row in Classifier.load(folder).probabilities(TEXTS)])
    assert [Classifier.load(folder).encode(text) for text in TEXTS] == tokenizer(TEXTS).input_ids  # as the server reads them
    batches = [tokenizer(text, return_tensors="pt") for text in TEXTS]
    alone = torch.cat([model(input_ids=batch.input_ids).logits for batch in batches])
    torch.testing.assert_close(alone.softmax(-1), expected, atol=1e-5, rtol=1e-5)
    if pad is not None:
        batch = tokenizer(TEXTS, return_tensors="pt", padding=True)
        padded = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        torch.testing.assert_close(padded.softmax(-1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["full", "lora"])
def test_a_mean_over_all_tokens_is_refused_by_transformers_and_peft(name: Any, tmp_path: Path) -> None:
    method, labels = MethodConfig(name=name, rank=2), Labels(("a", "b", "c"), pooling="mean")
    folder = save_classifier(method, "<|endoftext|>", tmp_path, labels)
    assert len(Classifier.load(folder).probabilities(TEXTS)) == len(TEXTS)
    opens = [transformers.AutoModelForSequenceClassification.from_pretrained, partial(theirs, method)]
    for open_folder in opens + [peft.AutoPeftModelForSequenceClassification.from_pretrained] * (name == "lora"):
        with pytest.raises((ValueError, KeyError), match=r"lmcraft|LMCRAFT"):
            open_folder(folder)


@torch.no_grad()
def test_a_classifier_of_another_family_has_its_class(tmp_path: Path) -> None:
    method = MethodConfig(name="full")
    folder = save_classifier(method, "<|endoftext|>", tmp_path, **GPT2)
    model = theirs(method, folder)
    assert type(model).__name__ == model.config.architectures[0] == "GPT2ForSequenceClassification"
    ids = torch.tensor([Classifier.load(folder).encode(TEXTS[0])])
    expected = torch.tensor([list(row.values()) for row in Classifier.load(folder).probabilities(TEXTS[:1])])
    torch.testing.assert_close(model(ids).logits.softmax(-1), expected, atol=1e-5, rtol=1e-5)
