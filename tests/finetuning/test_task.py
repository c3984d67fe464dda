"""A run's data: what is read and shown before there is a model, and what is asked on the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.finetuning.audit import check_learned, check_pieces, show_batch
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.packing import PackedRows, Piece
from lmcraft.finetuning.task import Task
from lmcraft.model_source import open_model
from tests.finetuning.chat import chat_folder, chat_tokenizer, piece, says

TOOLS = [{"type": "function", "function": {"name": "clock"}}]
WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>tools\\n' + tools[0]['function']['name'] + '<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
Make = Callable[..., tuple[Task, list[str]]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture
def task_of(base: Path, tmp_path: Path) -> Make:
    def make(rows: list[dict[str, Any]], held_out: list[dict[str, Any]], **settings: Any) -> tuple[Task, list[str]]:
        files = {"data": rows, "held": held_out}
        for name, some in files.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
        (tmp_path / "template.jinja").write_text(WITH_TOOLS)
        config = FinetuneConfig(
            str(base), (tmp_path / "data.jsonl",), validation_data=(tmp_path / "held.jsonl",), sequence_length=96, **settings
        ).resolved()
        lines: list[str] = []
        with open_model(base) as source:
            return Task(config, source, lines.append), lines

    return make


def spelled(ids: list[int]) -> str:
    return chat_tokenizer().decode(ids, skip_special_tokens=False)


ASKED, ANSWERED = says("user", "Hi"), says("assistant", "Hello")
ROW = {"messages": [ASKED, ANSWERED]}


def test_held_out_questions_are_asked_as_in_training(task_of: Make) -> None:
    longer = {"messages": [says("system", "Be brief."), ASKED, ANSWERED, says("user", "Bye"), ANSWERED, ASKED]}
    task, lines = task_of([ROW], [ROW, longer])
    found = task.prompts(5)
    assert [spelled(ids) for ids, _, _ in found] == [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ]
    assert [said for _, *said in found] == [["Hi", "Hello"], ["Bye", "Hello"]]
    assert any("conversations, 1 to learn from and 2 to measure on" in line for line in lines)
    assert lines[-1] == "the first: user: 'Hi' | assistant: 'Hello'"


def test_an_answer_that_nobody_asked_for_is_shown_without_a_question(task_of: Make) -> None:
    task, _ = task_of([ROW], [{"messages": [ANSWERED]}])
    assert task.prompts(1) == [(chat_tokenizer().encode("<|im_start|>assistant\n", parse_special=True), "", "Hello")]


@pytest.mark.parametrize("objective", ["sft", "grpo"])
def test_tools_are_in_every_prompt(task_of: Make, objective: str, tmp_path: Path) -> None:
    row = {**ROW, "tools": TOOLS}
    settings = {"chat_template": str(tmp_path / "template.jinja"), "objective": objective}
    task, _ = task_of([row], [row], **settings)
    expected = "<|im_start|>tools\nclock<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert spelled(task.prompts(1)[0][0]) == expected
    batch = task.first_rows()
    assert spelled(batch.input_ids[0][batch.document_ids[0] == 0].tolist()).startswith(expected)


def test_equal_rows_in_another_file_and_a_system_message(task_of: Make) -> None:
    task, _ = task_of([ROW] * 3, [ROW], system="Be brief.")
    assert spelled(task.prompts(1)[0][0]).startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    assert task.rows_per_epoch == len(task.training) == 2  # type: ignore[arg-type]


def test_long_samples_are_left_out_where_that_is_asked_for(task_of: Make) -> None:
    long = {"messages": [ASKED, says("assistant", "word " * 200)]}
    with pytest.raises(UserError, match=r"1 of 2 samples are longer than sequence_length=96 .*--too-long skip"):
        task_of([ROW, long], [ROW])
    task, lines = task_of([ROW, long], [ROW], too_long="skip")
    assert task.examples == 1 and "1 samples are longer than 96 tokens, and were left out" in lines


def test_pieces_that_cannot_be_learned_are_named() -> None:
    pieces = [piece(5), piece(9), piece(7, learned_from=7)]
    assert check_pieces(pieces, 9, skip=False) == (pieces, 0)
    assert check_pieces(pieces, 7, skip=True)[1] == 1
    with pytest.raises(UserError, match=r"add --sequence-length 9, or --too-long skip"):
        check_pieces(pieces, 7, skip=False)
    with pytest.raises(UserError, match="all 3 samples are longer"):
        check_pieces(pieces, 4, skip=True)
    check_learned(pieces[:2])
    with pytest.raises(UserError, match="sample 3 has no token to learn"):
        check_learned(pieces)


def test_a_batch_is_shown_with_its_documents_and_what_is_learned() -> None:
    a, b, c, d = (chat_tokenizer().encode(letter)[0] for letter in "abcd")
    first = Piece(np.array([a, b]), np.array([IGNORE_INDEX, c]))
    second = Piece(np.array([d, a]), np.array([a, b]))
    batch = PackedRows([first, second], 6).batch([0])
    assert show_batch(batch, chat_tokenizer()).splitlines() == [
        "row 1, document 1: 2 tokens, of which 1 are learned",
        "'a' 'b' *'c'",
        "row 1, document 2: 2 tokens, of which 2 are learned",
        "'d' *'a' *'b'",
        "row 1: 2 positions are padding",
    ]
    assert "  -> [3]" in show_batch(
        PackedRows([Piece(np.array([a]), np.array([3]))], 2).batch([0]), chat_tokenizer(), of_texts=False
    )
