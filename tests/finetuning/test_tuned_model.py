"""Folders of fine-tuned models: whole models, adapters, and heads open as they were saved."""

import json
from pathlib import Path

import pytest
import torch

from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.methods import set_trainable_weights
from lmcraft.finetuning.tuned_model import open_tuned, read_head, snapshot
from lmcraft.model_source import open_model
from tests.finetuning.chat import chat_folder, chat_model, chat_tokenizer

IDS = torch.tensor([[5, 6, 7, 8]])
LABELS = Labels(("a", "b", "c"), pooling="mean")


@pytest.mark.parametrize("name", ["full", "lora"])
def test_a_classifier_opens_as_it_was_saved(tmp_path: Path, name: str) -> None:
    base, method = chat_folder(tmp_path / "base"), MethodConfig(name=name, rank=2)  # type: ignore[arg-type]
    model = chat_model()
    add_head(model, 3)
    set_trainable_weights(model, method)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.1 * torch.randn_like(p)
    write = snapshot(model, method, str(base), chat_tokenizer(), (0,), LABELS)
    expected = model.hidden_states(IDS), model.get_submodule(HEAD).weight.detach().clone()
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).zero_()  # the snapshot is a copy
    out = tmp_path / "out"
    out.mkdir()
    write(out)
    with open_model(out) as source:
        opened = open_tuned(source, torch.float32, torch.device("cpu"), head=3)
        torch.testing.assert_close(opened.hidden_states(IDS), expected[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(read_head(out), expected[1])
    if name == "full":
        config = json.loads((out / "config.json").read_text())
        assert config["architectures"] == ["TransformerForSequenceClassification"] and config["model_type"] == "lmcraft"
        assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
