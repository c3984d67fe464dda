"""The evaluation before and after: merged adapters are checked, and metrics become lines."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.config import FinetuneConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.evaluation import evaluate_after, evaluate_before
from lmcraft.finetuning.run import FinetuneRun, open_run
from lmcraft.finetuning.splits import read_splits
from lmcraft.folder import ModelFolder
from lmcraft.machine import choose_machine
from lmcraft.model_source import open_model
from lmcraft.training.loop import Trainer
from lmcraft.training.processes import Processes
from tests.finetuning.chat import chat_folder, message

ROWS = [{"messages": [message("user", f"Say {n}"), message("assistant", f"{n} fox")]} for n in range(12)]


@pytest.fixture
def finetune_run(tmp_path: Path) -> Iterator[tuple[FinetuneRun, Trainer, ModelFolder]]:
    """A run of an adapter whose first checkpoint is in the folder."""
    base = chat_folder(tmp_path / "base")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "general.txt").write_text("The quick brown fox jumps over the lazy dogs.\n" * 5)
    config = FinetuneConfig(
        str(base),
        (tmp_path / "data.jsonl",),
        out=tmp_path / "out",
        sequence_length=96,
        validation=0.3,
        attention="matmul",
        max_steps=1,
        report_answers=2,
        method=MethodConfig(rank=2),
        settings=ObjectiveConfig(general_text=tmp_path / "general.txt", max_new_tokens=3),
    ).resolved()
    machine, folder = choose_machine("cpu", "fp32"), ModelFolder(tmp_path / "out")
    with ExitStack() as stack:
        source = stack.enter_context(open_model(config.model))
        run = open_run(config, source, read_splits(config), lambda line: None).autotuned(machine, Processes())
        trainer = run.build_trainer(machine, folder, None, Processes())
        with torch.no_grad():
            for name, p in trainer.model.named_parameters():
                if name.endswith("lora_B"):
                    p.normal_(std=0.1)
        folder.run.mkdir(parents=True)
        trainer.snapshot(trainer.model)(folder.path)
        yield run, trainer, folder


def test_metrics_before_the_run_are_kept_when_it_is_resumed(finetune_run: tuple[FinetuneRun, Trainer, ModelFolder]) -> None:
    run, trainer, folder = finetune_run
    before = evaluate_before(run, trainer, folder, None)
    assert list(before) == ["validation loss"] and (folder.run / "before.json").is_file()
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.zero_()
    assert evaluate_before(run, trainer, folder, 1) == before


@pytest.mark.parametrize("content", [None, "", '{"validation loss": {"value": 1', "[1]"])
def test_damaged_metrics_before_the_run_are_not_replaced_by_later_ones(
    finetune_run: tuple[FinetuneRun, Trainer, ModelFolder], content: str | None
) -> None:
    run, trainer, folder = finetune_run
    evaluate_before(run, trainer, folder, None)
    file = folder.run / "before.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    lines: list[str] = []
    assert evaluate_before(replace(run, print_line=lines.append), trainer, folder, 1) == {}
    assert "before.json' is missing or damaged" in lines[0]


def test_results_are_written_and_summarized(finetune_run: tuple[FinetuneRun, Trainer, ModelFolder]) -> None:
    run, trainer, folder = finetune_run
    lines = evaluate_after(run, trainer, evaluate_before(run, trainer, folder, None))
    results = json.loads((folder.run / "evaluation.json").read_text())
    assert results["metrics"]["validation loss"]["after"] == results["metrics"]["validation loss"]["before"]
    assert [answer["prompt"] for answer in results["answers"]] == [question for _, question, _ in run.prompts(2)]
    assert lines[0].startswith("validation loss: ") and " before, " in lines[0] and lines[0].endswith(" after")
    assert lines[1].startswith("perplexity of general text (general.txt): ")


def test_a_merge_that_changes_the_logits_is_an_error(
    finetune_run: tuple[FinetuneRun, Trainer, ModelFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trainer, _ = finetune_run
    monkeypatch.setattr(
        "lmcraft.finetuning.evaluation.open_tuned", lambda *arguments, **options: run.load_starting_model(trainer.machine)
    )
    with pytest.raises(RunError, match="the logits of the merged model differ from the adapter's by"):
        evaluate_after(run, trainer, {})


def test_a_general_text_that_cannot_be_read_is_named(finetune_run: tuple[FinetuneRun, Trainer, ModelFolder]) -> None:
    run, trainer, _ = finetune_run
    assert run.config.settings.general_text is not None
    run.config.settings.general_text.unlink()
    with pytest.raises(UserError, match=r"general_text=.*general.txt cannot be read"):
        evaluate_after(run, trainer, {})
