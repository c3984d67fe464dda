"""Data of a run: splits, lengths, and the types of examples that an objective accepts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
from lmcraft.finetuning.examples import Example, Labeled
from lmcraft.finetuning.splits import read_splits, split_examples
from lmcraft.finetuning.training_data import TrainingData, choose_row_length, read_training_data, repack
from tests.finetuning.chat import chat_tokenizer, message

CONTEXT_LENGTH = 128
ROW = {"messages": [message("user", "Hi"), message("assistant", "Hello")]}
LONG = {"messages": [message("user", "Hi"), message("assistant", "word " * 200)]}


def read(folder: Path, rows: list[dict[str, Any]], **options: Any) -> tuple[TrainingData, FinetuneConfig, list[str]]:
    """The data of a run that has the first row for validation, too."""
    for name, content in (("data", rows), ("validation", rows[:1])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    defaults: dict[str, Any] = {"validation_data": (folder / "validation.jsonl",), "sequence_length": 96}
    config = FinetuneConfig("model", (folder / "data.jsonl",), **(defaults | options))
    lines: list[str] = []
    encoder = ExampleEncoder(chat_tokenizer(), [0])
    data = read_training_data(config, config.build_objective(), read_splits(config), encoder, CONTEXT_LENGTH, lines.append)
    return data, config, lines


def test_long_examples_are_refused_or_skipped(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"1 example is longer than the model's context of 128 tokens \(\S*data.jsonl:2\).*--too-long skip"
    ):
        read(tmp_path, [ROW, LONG])
    data, _, lines = read(tmp_path, [ROW, LONG], too_long="skip")
    assert data.num_examples == 1 and f"left out 1 longer examples: {tmp_path}/data.jsonl:2" in lines


def test_the_wrong_kind_of_examples_is_named_with_the_objectives_for_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective=dpo learns from preferences, but the data are conversations: "):
        read(tmp_path, [ROW], objective="dpo")
    with pytest.raises(UserError, match=r"use --objective sft or distillation or grpo"):
        read(tmp_path, [ROW], objective="kto")


def test_an_unreplaced_placeholder_is_reported(tmp_path: Path) -> None:
    row = {"messages": [message("user", "Who are you?"), message("assistant", "{{name}}")]}
    assert "--variables.name VALUE" in read(tmp_path, [row])[2][-1]
    data, _, lines = read(tmp_path, [row], variables={"name": "Ada"})
    assert "'Ada'" in lines[-1] and "Ada" in repr(data.examples[0])


def test_equal_examples_are_in_the_same_split() -> None:
    examples: list[Example] = [Labeled(f"text {n}", ("a",)) for n in range(200)]
    training, validation = split_examples([*examples, *examples], 0.2, 1)
    assert not {*training} & {*validation} and len(training) + len(validation) == 400 and 40 < len(validation) < 120
    assert split_examples(examples, 0.2, 1)[1] != split_examples(examples, 0.2, 2)[1]


def test_the_split_of_recorded_figures_is_kept() -> None:
    examples: list[Example] = [Labeled(f"text {n}", ("a",)) for n in range(20)]
    assert split_examples(examples, 0.3, 1)[1] == [examples[n] for n in (2, 3, 8, 10, 12, 14)]


def test_a_row_is_as_long_as_configured_or_as_the_context_allows() -> None:
    config = FinetuneConfig("model", ())
    assert choose_row_length(config, 128, 512) == 128 and choose_row_length(config, 1024, 512) == 512
    with pytest.raises(UserError, match="sequence_length=200 is more than the model's context of 128 tokens"):
        choose_row_length(FinetuneConfig("model", (), sequence_length=200), 128, 512)


def test_data_are_repacked_with_other_tokens(tmp_path: Path) -> None:
    data, config, _ = read(tmp_path, [ROW] * 3)
    other = [[TokenizedExample(np.array([7]), np.array([8]))], [TokenizedExample(np.array([9]), np.array([10]))]]
    changed = repack(data, other, config, config.build_objective(), chat_tokenizer())
    assert next(changed.training.ordered()).input_ids[0] == 7 and next(changed.validation.ordered()).input_ids[0] == 9
    assert changed.examples == data.examples and changed.num_examples == 1
