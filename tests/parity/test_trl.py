"""The first step's losses against TRL's, on the same conversations, model and reference; the tests do not require TRL."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.data.loader import Batch
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Conversation, Preference
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.dpo import DPO, IPO
from lmcraft.finetuning.objectives.log_probs import document_log_probs
from lmcraft.finetuning.objectives.sft import SupervisedFinetuning
from lmcraft.finetuning.packing import PackedRows
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import load_model
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.objective import NextToken, Objective
from tests.finetuning.chat import CHATML, chat_model, chat_tokenizer, message

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")

ROOM = 256  # positions of the model, and of a row
QUESTIONS = ["What is a tree?", "Name a color.", "Say something longer about the sea, please."]
ANSWERS = ["A plant with a trunk.", "Blue.", "It is wide, and it is deep."]
WORSE = ["No.", "A color is a thing that one sees.", "Sea."]
# Without the line break after an answer's end token, which TRL learns too.
TOKENIZER = chat_tokenizer(CHATML.replace("'<|im_end|>\\n'", "'<|im_end|>'"))
ENCODER = ExampleEncoder(TOKENIZER, [TOKENIZER.id_of("<|im_end|>") or 0])


def saved(folder: Path, *, noise: float = 0.0) -> Path:
    model = chat_model(family="qwen3", max_position_embeddings=ROOM)
    with torch.no_grad():
        for p in model.parameters():
            p += noise * torch.randn_like(p)
    LanguageModel(model, TOKENIZER).save(folder)
    return folder


def first_loss(trainer: Any) -> float:
    trainer.train()
    return float(next(row["loss"] for row in trainer.state.log_history if "loss" in row))


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    common = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    rows = {"per_device_train_batch_size": len(QUESTIONS), "max_steps": 1, "logging_steps": 1, "learning_rate": 0.0}
    return {"output_dir": str(folder / "trl"), "gradient_checkpointing": False} | common | rows | more


def theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def mean(objective: Objective, folder: Path, batch: Batch) -> float:
    model = load_model(folder)
    tensors: TensorBatch = to_device(batch, model.device)
    return float(objective.loss(model, tensors)) / objective.count(batch)


def test_sft(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    pairs = [([message("user", q)], [message("assistant", a)]) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    data = datasets.Dataset.from_list([{"prompt": prompt, "completion": answer} for prompt, answer in pairs])
    expected = first_loss(trl.SFTTrainer(theirs(folder), trl.SFTConfig(**settings(tmp_path)), train_dataset=data))
    examples = SupervisedFinetuning().encode(
        [Conversation((*prompt, *answer)) for prompt, answer in pairs], ENCODER, Labels()
    )
    assert expected == pytest.approx(
        mean(NextToken(), folder, Batch.stack(list(PackedRows(examples, ROOM).ordered()))), rel=1e-4
    )


@pytest.mark.parametrize("name", ["dpo", "ipo"])
def test_preferences(name: Any, tmp_path: Path) -> None:
    folder, reference = saved(tmp_path / "model"), saved(tmp_path / "reference", noise=0.05)
    rows = [
        Preference((message("user", q),), message("assistant", a), message("assistant", b))
        for q, a, b in zip(QUESTIONS, ANSWERS, WORSE, strict=True)
    ]
    data = datasets.Dataset.from_list(
        [{"prompt": list(row.prompt), "chosen": [row.chosen], "rejected": [row.rejected]} for row in rows]
    )
    loss_type = {"dpo": "sigmoid", "ipo": "ipo"}[name]
    config = trl.DPOConfig(**settings(tmp_path, loss_type=loss_type, beta=0.1))
    expected = first_loss(trl.DPOTrainer(theirs(folder), theirs(reference), config, train_dataset=data))
    start, examples = load_model(reference), []
    objective = {"dpo": DPO(beta=0.1), "ipo": IPO(beta=0.1)}[name]
    for example in objective.encode(rows, ENCODER, Labels()):
        batch = Batch.stack(list(PackedRows([example], ROOM).ordered()))
        log_probs, _ = document_log_probs(start, to_device(batch, start.device))
        examples.append(replace(example, values=log_probs[0].detach().numpy().astype(np.float32)))
    batch = Batch.stack(list(PackedRows(examples, ROOM).ordered()))
    assert expected == pytest.approx(mean(objective, folder, batch), rel=1e-4)
