"""The tests that every objective must pass. Each objective's test file derives a class from `ObjectiveConformance`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.commands.finetune import finetune
from lmcraft.data.loader import Batch
from lmcraft.errors import InterruptedRunError
from lmcraft.finetuning.config import FinetuneConfig, FinetuneOptimizerConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.objectives.registry import OBJECTIVES
from lmcraft.finetuning.run import FinetuneRun, open_run
from lmcraft.finetuning.splits import read_splits
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.machine import choose_machine
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import open_model
from lmcraft.training.batch import to_device
from lmcraft.training.loop import Trainer
from lmcraft.training.objective import Objective
from lmcraft.training.processes import Processes
from tests.finetuning.chat import chat_folder, chat_tokenizer, message
from tests.interruption import interrupted_after

COLORS = ("red", "green", "blue", "white")
QUESTIONS = [f"Say {color} {'please ' * (n % 2)}{n}" for n in range(5) for color in COLORS]
ANSWERS = [f"{color} {'fox ' * (n % 3)}" for n in range(5) for color in COLORS]
CHATS = [[message("user", q), message("assistant", a)] for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
PAIRS = [
    {"prompt": [q], "chosen": a, "rejected": message("assistant", "dog " * (n % 3 + 1))} for n, (q, a) in enumerate(CHATS)
]


class ObjectiveConformance:
    """Tests of one objective: gradient accumulation, packing, resumption, and the loss against plain formulas."""

    name: str
    """The value of --objective."""
    rows: list[dict[str, Any]]
    """The data file."""
    device = "cpu"
    eval_every = 2
    """Evaluation interval of the test that stops after step 2 and leaves a due evaluation to the resumed run."""

    def settings(self, folder: Path) -> dict[str, Any]:
        """The objective's settings; `folder` is for files that they name."""
        return {}

    def data(self, folder: Path) -> Path:
        """The data, written into a folder."""
        file = folder / "data.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return file

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        """The sum of the losses of all training examples, from plain formulas; `start` is the model before training."""
        raise NotImplementedError

    # The tests

    @pytest.mark.parametrize("micro_batch_size", [1, 2])
    def test_the_validation_loss_does_not_depend_on_the_micro_batch(self, tmp_path: Path, micro_batch_size: int) -> None:
        losses = []
        for size in (4, micro_batch_size):
            trainer, _ = self.build(tmp_path, str(size), batch_size=4, micro_batch_size=size)
            losses.append(trainer.validate())
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    @pytest.mark.parametrize("micro_batch_size", [1, 2])
    def test_accumulated_gradients_equal_those_of_the_large_batch(self, tmp_path: Path, micro_batch_size: int) -> None:
        results = []
        for size in (4, micro_batch_size):
            trainer, _ = self.build(tmp_path, str(size), batch_size=4, micro_batch_size=size)
            loss, targets, _ = trainer.gradients(1)
            results.append((loss, targets, gradients(trainer.model)))
        (loss, targets, expected), (split_loss, split_targets, actual) = results
        assert split_targets == targets > 0 and split_loss == pytest.approx(loss, rel=1e-4, abs=1e-6)
        torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-3)
        assert any(gradient.abs().max() > 1e-6 for gradient in expected.values())

    def test_packing_changes_neither_loss_nor_gradients(self, tmp_path: Path) -> None:
        results = []
        for packing in (True, False):
            trainer, run = self.build(tmp_path, str(packing), packing=packing)
            batch = all_rows(run)
            torch.manual_seed(0)
            loss = whole_objective(trainer, batch).loss(trainer.model, to_device(batch, trainer.model.device))
            loss.backward()
            count = trainer.objective.count(batch)
            results.append((loss.detach() / count, {name: g / count for name, g in gradients(trainer.model).items()}))
        torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(results[0][1], results[1][1], atol=2e-5, rtol=1e-3)

    def test_the_loss_is_the_formula(self, tmp_path: Path) -> None:
        trainer, run = self.build(tmp_path, "run")
        start = LanguageModel.load(tmp_path / "base", tier="eager").transformer
        with torch.no_grad():
            objective = whole_objective(trainer, all_rows(run))
            torch.manual_seed(0)
            actual = objective.loss(trainer.model.eval(), to_device(all_rows(run), trainer.model.device))
            torch.manual_seed(0)
            expected = self.expected_loss(trainer.model, run, start)
        assert actual.item() == pytest.approx(expected, rel=1e-4)

    def test_a_resumed_run_repeats_every_number(self, tmp_path: Path) -> None:
        method = MethodConfig(rank=2, dropout=0.1) if OBJECTIVES[self.name].example_type else MethodConfig(name="full")
        options: dict[str, Any] = {"max_steps": 4, "eval_every": self.eval_every, "save_every": 1, "method": method}
        whole = finetune(self.config(tmp_path, "whole", **options))
        config = self.config(tmp_path, "stopped", **options)
        with interrupted_after(step=2), pytest.raises(InterruptedRunError, match=r"step 2 of 4.*--resume"):
            finetune(config)
        resumed = finetune(replace(config, resume=True))
        assert metrics(resumed) == metrics(whole) and len(metrics(whole)) == 4 + 4 // self.eval_every
        evaluations = [json.loads((folder.run / "evaluation.json").read_text()) for folder in (whole, resumed)]
        assert evaluations[0] == evaluations[1] and evaluations[0]["objective"] == self.name

    # Helpers

    def config(self, folder: Path, out: str, **options: Any) -> FinetuneConfig:
        """A configuration whose every choice is fixed; the files are in `folder`."""
        if not (folder / "base").exists():
            chat_folder(folder / "base")
            (folder / "general.txt").write_text("The quick brown fox jumps over the lazy dogs.\n" * 5)
            self.data_path = self.data(folder)
        settings = {"general_text": folder / "general.txt", "max_new_tokens": 3} | self.settings(folder)
        defaults: dict[str, Any] = {"device": self.device, "precision": "fp32", "attention": "matmul", "batch_size": 4}
        defaults |= {"sequence_length": 128, "max_steps": 1, "sample_every": 100, "validation": 0.2, "report_answers": 1}
        defaults |= {"optimizer": FinetuneOptimizerConfig(learning_rate=0.01), "method": MethodConfig(name="full")}
        return FinetuneConfig(
            str(folder / "base"),
            (self.data_path,),
            out=folder / out,
            objective=self.name,
            settings=ObjectiveConfig(**settings),
            **(defaults | options),
        )

    def build(self, folder: Path, out: str, **options: Any) -> tuple[Trainer, FinetuneRun]:
        """A trainer whose model has moved away from the starting model, and its run."""
        config, machine = self.config(folder, out, **options).resolved(), choose_machine(self.device, "fp32")
        with open_model(config.model) as source:
            run = open_run(config, source, read_splits(config), lambda line: None).autotuned(machine, Processes())
            run = run.with_reference(machine, ModelFolder(config.out))
            trainer = run.build_trainer(machine, ModelFolder(config.out), None, Processes())
            generator = torch.Generator().manual_seed(7)
            with torch.no_grad():
                for p in trainer.model.parameters():
                    p += 0.02 * torch.randn(p.shape, generator=generator).to(p.device)
        return trainer, run


def all_rows(run: FinetuneRun) -> Batch:
    """One epoch of training rows in one batch."""
    return Batch.stack(list(run.data.training.ordered())).trim_padding()  # type: ignore[attr-defined]


def whole_objective(trainer: Trainer, batch: Batch) -> Objective:
    """The objective of a step that consists of one batch."""
    return trainer.objective.for_batches(trainer.model, [to_device(batch, trainer.model.device)], Processes().total)


def gradients(model: Transformer) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def metrics(folder: ModelFolder) -> list[tuple[Any, ...]]:
    return [(row["step"], row.get("loss"), row.get("validation_loss")) for row in read_json_lines(folder.metrics)]


def encode_answer(messages: list[Any]) -> tuple[Tensor, int]:
    """A conversation's tokens up to its answer's end token, (n,), and the length of the prompt."""
    tokenizer = chat_tokenizer()
    prompt = tokenizer.encode(tokenizer.apply_chat_template(messages[:-1]), parse_special=True)
    answer = tokenizer.encode(messages[-1]["content"] + "<|im_end|>", parse_special=True)
    return torch.tensor(prompt + answer), len(prompt)


def answer_log_probs(model: Transformer, messages: list[Any]) -> Tensor:
    """log p of each token of a conversation's last answer, computed alone."""
    ids, start = encode_answer(messages)
    return log_probs(model, ids)[start - 1 :]


def log_probs(model: Transformer, ids: Tensor) -> Tensor:
    """log p of each token but the first, (n - 1,)."""
    return model(ids[None])[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
