"""A run before training: held-out prompts, filled-in settings, and the base model's address in an adapter."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.run import FinetuneRun, open_run
from lmcraft.finetuning.splits import read_splits
from lmcraft.folder import ModelFolder
from lmcraft.language_model import LanguageModel
from lmcraft.machine import choose_machine
from lmcraft.model_source import open_model
from lmcraft.tokenizer.train import train_bpe
from lmcraft.training.processes import Processes
from tests.finetuning.chat import CHATML, chat_folder, chat_tokenizer, message
from tests.tiny import TEXT, tiny_model

TOOLS = [{"type": "function", "function": {"name": "clock"}}]
WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>tools\\n' + tools[0]['function']['name'] + '<|im_end|>\\n' }}{% endif %}" + CHATML
)
QUESTION, ANSWER = message("user", "Hi"), message("assistant", "Hello")
ROW = {"messages": [QUESTION, ANSWER]}
Rows = list[dict[str, Any]]
RunMaker = Callable[..., tuple[FinetuneRun, list[str]]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture
def make_run(base: Path, tmp_path: Path) -> Iterator[RunMaker]:
    """Opens a run on rows for training and rows for validation; gives it with the printed lines."""
    with ExitStack() as stack:

        def make(training: Rows, validation: Rows, **options: Any) -> tuple[FinetuneRun, list[str]]:
            for name, rows in (("training", training), ("validation", validation)):
                (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            (tmp_path / "template.jinja").write_text(WITH_TOOLS)
            files = {"data": (tmp_path / "training.jsonl",), "validation_data": (tmp_path / "validation.jsonl",)}
            config = FinetuneConfig(str(base), sequence_length=96, **files, **options).resolved()
            lines: list[str] = []
            return open_run(config, stack.enter_context(open_model(base)), read_splits(config), lines.append), lines

        yield make


def decode(ids: list[int]) -> str:
    return chat_tokenizer().decode(ids, skip_special_tokens=False)


def test_held_out_prompts_are_encoded_as_in_training(make_run: RunMaker) -> None:
    longer = {"messages": [message("system", "Be brief."), QUESTION, ANSWER, message("user", "Bye"), ANSWER, QUESTION]}
    run, lines = make_run([ROW], [ROW, longer])
    prompts = run.prompts(5)
    assert [decode(ids) for ids, _, _ in prompts] == [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ]
    assert [texts for _, *texts in prompts] == [["Hi", "Hello"], ["Bye", "Hello"]]
    assert any("conversations, 1 for training and 2 for validation" in line for line in lines)
    assert lines[-1] == "first example: user: 'Hi' | assistant: 'Hello'"


def test_an_answer_without_a_question_is_shown_without_one(make_run: RunMaker) -> None:
    run, _ = make_run([ROW], [{"messages": [ANSWER]}])
    assert run.prompts(1) == [(chat_tokenizer().encode("<|im_start|>assistant\n", parse_special=True), "", "Hello")]


@pytest.mark.parametrize("objective", ["sft", "grpo"])
def test_tools_are_in_every_prompt(make_run: RunMaker, objective: str, tmp_path: Path) -> None:
    row = {**ROW, "tools": TOOLS}
    (tmp_path / "reward.py").write_text("def length(example, answer):\n    return len(answer)\n")
    settings = ObjectiveConfig(reward=f"{tmp_path / 'reward.py'}:length" if objective == "grpo" else "")
    template = str(tmp_path / "template.jinja")
    run, _ = make_run([row], [row], chat_template=template, objective=objective, settings=settings)
    expected = "<|im_start|>tools\nclock<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert decode(run.prompts(1)[0][0]) == expected
    batch = run.data.first_batch()
    assert decode(batch.input_ids[0][batch.document_ids[0] == 0].tolist()).startswith(expected)


def test_a_system_message_is_in_every_prompt(make_run: RunMaker) -> None:
    run, _ = make_run([ROW] * 3, [ROW], system="Be brief.")
    assert decode(run.prompts(1)[0][0]).startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    assert run.data.rows_per_epoch == len(run.data.training) == 2  # type: ignore[arg-type]


def test_settings_of_0_follow_from_the_data(make_run: RunMaker) -> None:
    run, _ = make_run([ROW] * 40, [ROW] * 3, attention="matmul", epochs=2.0)
    config = run.autotuned(choose_machine("cpu", "fp32"), Processes()).config
    rows = run.data.rows_per_epoch
    assert config.batch_size == -(-16 * rows // 40) and config.max_steps == -(-2 * rows // config.batch_size)
    assert config.eval_tokens == 96 * run.data.validation_rows and config.compile == "off" and config.micro_batch_size > 0


def test_a_teacher_with_a_different_vocabulary_is_refused(make_run: RunMaker, tmp_path: Path) -> None:
    tokenizer = train_bpe([TEXT], vocab_size=270, special_tokens=("<|endoftext|>",))
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size), tokenizer).save(tmp_path / "teacher")
    settings = ObjectiveConfig(teacher=str(tmp_path / "teacher"))
    run, _ = make_run([ROW], [ROW], objective="distillation", settings=settings, method=MethodConfig(rank=2), batch_size=1)
    machine = choose_machine("cpu", "fp32")
    run = run.autotuned(machine, Processes())
    with pytest.raises(UserError, match="has a different vocabulary from the model's"):
        run.build_trainer(machine, ModelFolder(tmp_path / "out"), None, Processes())
