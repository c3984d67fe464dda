"""Classifiers and reward models are told from models that write texts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.methods import set_trainable_weights
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.finetuning.tuned_model import snapshot
from lmcraft.language_model import LanguageModel
from lmcraft.model.task_head import task_head_error
from tests.finetuning.chat import chat_folder, chat_model, chat_tokenizer

REWARD = "is a reward model, which scores texts and cannot write any: open it with "
UNNAMED = "is a classifier without lmcraft/labels.json, and cannot write texts: open it with "
NAMED = "is a classifier, which cannot write texts: use `lmcraft classify "


def save_tuned(folder: Path, base: Path, method_name: str, labels: Labels) -> Path:
    model, method = chat_model(), MethodConfig(name=method_name, rank=2)  # type: ignore[arg-type]
    add_head(model, max(1, len(labels.names)))
    set_trainable_weights(model, method)
    model.get_submodule(HEAD).requires_grad_(True)
    folder.mkdir()
    snapshot(model, method, str(base), chat_tokenizer(), (0,), labels)(folder)
    if labels.names:
        labels.save(folder)
    return folder


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(("names", "words"), [(("a", "b"), NAMED), ((), REWARD)])
def test_a_model_with_a_head_writes_no_text(tmp_path: Path, method: str, names: tuple[str, ...], words: str) -> None:
    base = chat_folder(tmp_path / "base")
    folder = save_tuned(tmp_path / "tuned", base, method, Labels(names))
    with pytest.raises(UserError, match=words):
        LanguageModel.load(folder)
    if method == "lora":
        with pytest.raises(UserError, match=words):
            LanguageModel.load(base, adapters={"a": folder})
    if names:
        assert len(Classifier.load(folder).classify(["hello"])) == 1
    else:
        with pytest.raises(UserError, match=words):
            Classifier.load(folder)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, None),
        ({"architectures": ["GPT2LMHeadModel"], "id2label": {"0": "a"}}, None),
        ({"architectures": "LlamaForSequenceClassification"}, None),
        ({"architectures": None}, None),
        ({}, None),
        (
            {"architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
            REWARD + "transformers' Qwen3",
        ),
        ({"architectures": ["GemmaForSequenceClassification"], "num_labels": 1}, REWARD),
        ({"architectures": ["Qwen2ForRewardModel"]}, REWARD),
        ({"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}, UNNAMED),
        ({"architectures": ["MistralForTokenClassification"]}, UNNAMED + "transformers' MistralForTokenClassification"),
    ],
)
def test_models_of_other_programs(tmp_path: Path, config: dict[str, Any], words: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    error = task_head_error(tmp_path)
    assert words is None if error is None else words is not None and words in str(error)


@pytest.mark.parametrize(("outputs", "words"), [(1, REWARD), (3, UNNAMED)])
def test_adapters_of_other_programs(tmp_path: Path, outputs: int, words: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "task_type": "SEQ_CLS"}))
    save_file({"base_model.model.score.weight": torch.zeros(outputs, 4)}, tmp_path / "adapter_model.safetensors")
    assert words + "PEFT's AutoPeftModelForSequenceClassification" in str(task_head_error(tmp_path))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM"}))
    assert task_head_error(tmp_path) is None


def test_nothing_else_has_a_head(tmp_path: Path) -> None:
    assert task_head_error(tmp_path) is None and task_head_error(tmp_path / "absent.gguf") is None
