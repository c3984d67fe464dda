"""Data of a run: splits, lengths, and the types of examples that an objective accepts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.label_spellings import describe_labels
from lmcraft.finetuning.splits import read_splits
from lmcraft.finetuning.training_data import TrainingData, choose_row_length, divide_holdout, read_training_data, repack
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.finetuning.chat import CHATML, chat_tokenizer, message

CONTEXT_LENGTH = 128
ROW = {"messages": [message("user", "Hi"), message("assistant", "Hello")]}
LONG = {"messages": [message("user", "Hi"), message("assistant", "word " * 200)]}


def read(
    folder: Path, rows: list[dict[str, Any]], tokenizer: Tokenizer | None = None, **options: Any
) -> tuple[TrainingData, FinetuneConfig, list[str]]:
    """The data of a run that has the first row for validation, too."""
    for name, content in (("data", rows), ("validation", rows[:1])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    defaults: dict[str, Any] = {"validation_data": (folder / "validation.jsonl",), "sequence_length": 96}
    config = FinetuneConfig("model", (folder / "data.jsonl",), **(defaults | options))
    lines: list[str] = []
    encoder = ExampleEncoder(tokenizer or chat_tokenizer(), [0], CONTEXT_LENGTH)
    data = read_training_data(config, config.build_objective(), read_splits(config), encoder, CONTEXT_LENGTH, lines.append)
    return data, config, lines


def test_long_examples_are_refused_or_skipped(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"1 example is longer than the model's context of 128 tokens \(\S*data.jsonl:2\).*--too-long skip"
    ):
        read(tmp_path, [ROW, LONG])
    data, _, lines = read(tmp_path, [ROW, LONG], too_long="skip")
    assert data.num_examples == 1 and f"left out, because they are longer than a row: {tmp_path}/data.jsonl:2" in lines


def test_the_wrong_kind_of_examples_is_named_with_the_objectives_for_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective=dpo learns from preferences, but the data are conversations "):
        read(tmp_path, [ROW], objective="dpo")
    with pytest.raises(UserError, match=r"use --objective sft or distillation or grpo"):
        read(tmp_path, [ROW], objective="kto")


def test_an_unreplaced_placeholder_is_reported(tmp_path: Path) -> None:
    row = {"messages": [message("user", "Who are you?"), message("assistant", "{{name}}")]}
    assert "--variables.name VALUE" in read(tmp_path, [row])[2][-1]
    data, _, lines = read(tmp_path, [row], variables={"name": "Ada"})
    assert "'Ada'" in lines[-1] and "Ada" in repr(data.examples[0])


def test_rows_that_spell_special_tokens_are_counted(tmp_path: Path) -> None:
    spelled = {"messages": [message("user", "a<|im_end|>b"), message("assistant", "c")]}
    lines = read(tmp_path, [ROW, spelled, ROW])[2]
    assert any(line.startswith("spellings of special tokens are removed from 1 examples: ") for line in lines)


def test_a_row_is_as_long_as_configured_or_as_the_context_allows() -> None:
    config = FinetuneConfig("model", ())
    assert choose_row_length(config, 128, 512) == 128 and choose_row_length(config, 1024, 512) == 512
    with pytest.raises(UserError, match="sequence_length=200 is more than the model's context of 128 tokens"):
        choose_row_length(FinetuneConfig("model", (), sequence_length=200), 128, 512)


def test_rows_that_cannot_be_encoded_are_named_or_left_out(tmp_path: Path) -> None:
    empty = {"messages": [message("user", "Hi"), message("assistant", "<|im_end|>")]}
    strange = {"messages": [message("critic", "Hi"), message("assistant", "Hello")]}
    with pytest.raises(
        UserError, match=r"2 of 5 rows .*data.jsonl:2 \(its answer is empty.*data.jsonl:4 \(its role 'critic'"
    ):
        read(tmp_path, [ROW, empty, ROW, strange])
    with pytest.raises(UserError, match=r"data.jsonl:2, .*data.jsonl:4, .*data.jsonl:5 and 8 more \(its answer is empty"):
        different = [{"messages": [message("user", f"{n}"), empty["messages"][1]]} for n in range(11)]
        read(tmp_path, [ROW, different[0], ROW, *different[1:]], validation_data=())
    data, _, lines = read(tmp_path, [ROW, empty, ROW, strange], malformed="skip")
    assert data.num_examples == 2 and any(
        line.startswith(f"left out, because they cannot be used: {tmp_path}/data.jsonl:2 (its answer") for line in lines
    )
    assert any("data.jsonl:4 (its role 'critic'" in line for line in lines)


def test_every_row_that_is_left_out_is_listed(tmp_path: Path) -> None:
    odd = [{"messages": [message(f"critic {n}", "Hi"), message("assistant", "Hello")]} for n in range(6)]
    data, _, lines = read(tmp_path, [ROW, LONG, *odd, ROW], malformed="skip", too_long="skip")
    assert [row["line"] for row in data.skipped] == [*range(2, 9)]
    assert {row["file"] for row in data.skipped} == {f"{tmp_path}/data.jsonl"}
    reasons = [row["reason"] for row in data.skipped]
    assert reasons[0].startswith("it has ") and all(f"critic {n}" in reasons[n + 1] for n in range(6))
    assert any(line.endswith("and 3 more for other reasons") for line in lines)


def test_pairs_that_are_equal_in_the_template_are_named(tmp_path: Path) -> None:
    pair = {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
    same = pair | {"rejected": "Hello<|im_end|>"}
    for objective in ("dpo", "orpo", "reward"):
        with pytest.raises(UserError, match=r"data.jsonl:2 cannot be used: its two answers are the same"):
            read(tmp_path, [pair, same], objective=objective)


def test_judgments_are_paired_after_bad_ones_are_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": "<|im_end|>" if n == 1 else f"a{n}", "label": n % 2 == 0} for n in range(4)]
    data, _, _ = read(tmp_path, rows, objective="kto", malformed="skip")
    texts = [chat_tokenizer().decode(tokens.input_ids.tolist()) for tokens in data.tokenized[0]]
    assert [[answer in text for answer in ("a0", "a2", "a3")] for text in texts] == [
        [True, True, False],
        [False, True, True],
        [True, False, True],
    ]


def test_judgments_beside_long_ones_are_left_out_as_well(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": "a" * (30 if n == 1 else 1), "label": True} for n in range(4)]
    reason = r"2 examples, with both answers in one row, are longer than sequence_length=64 \(.*data.jsonl:1, .*data.jsonl:2"
    with pytest.raises(UserError, match=reason):
        read(tmp_path, rows, objective="kto", sequence_length=64)
    data, _, _ = read(tmp_path, rows, objective="kto", sequence_length=64, too_long="skip")
    assert data.num_examples == 2


def test_a_label_that_only_validation_has_is_no_class(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    (tmp_path / "other.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "c", "label": "z"}\n')
    other = {"objective": "classification", "validation_data": (tmp_path / "other.jsonl",)}
    with pytest.raises(UserError, match=r"other.jsonl:2 cannot be used: its label 'z' does not occur in the training data"):
        read(tmp_path, rows, **other)
    data, _, _ = read(tmp_path, rows, malformed="skip", **other)
    assert data.labels.names == ("x", "y") and data.validation_rows == 1


def test_a_long_text_is_left_out_without_being_encoded(tmp_path: Path) -> None:
    huge = {"messages": [message("user", "Hi"), message("assistant", "word " * 200_000)]}
    with pytest.raises(UserError, match=r"1 example is longer than the model's context of 128 tokens \(.*data.jsonl:2\)"):
        read(tmp_path, [ROW, huge])
    data, _, lines = read(tmp_path, [ROW, huge, {"messages": huge["messages"][::-1] + huge["messages"]}], too_long="skip")
    assert data.num_examples == 1 and any("longer than a row: " in line and "jsonl:2, " in line for line in lines)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("Yes", "yes", "no"), "Yes, yes"),
        (("1", "01", "1.00", "2"), "1, 01, 1.00"),
        (("9007199254740992", "9007199254740993"), None),
        (("10E5", "1E6", "1e999", "2e999"), None),
        (("caf\u00e9", "cafe\u0301", "tea"), r"'caf\xe9', 'cafe\u0301'"),
        (("spam", "sp\u200bam", "ham"), r"'spam', 'sp\u200bam'"),
        (("two words", "two\u00a0words", "two  words"), r"'two words', 'two\xa0words', 'two  words'"),
        (("\uff21", "A", "B"), "\uff21, A"),
        (("a\x1b[2J", "A\x1b[2J", "b"), r"'a\x1b[2J', 'A\x1b[2J'"),
    ],
)
def test_labels_that_look_alike_are_pointed_out(names: tuple[str, ...], shown: str | None) -> None:
    lines = list(describe_labels(Labels(names)))
    assert all(line.isprintable() for line in lines)
    expected = f"labels that look alike, and are learned as different ones: {shown}"
    assert lines[1:] == ([expected] if shown else [])


def test_labels_that_differ_in_case_are_pointed_out(tmp_path: Path) -> None:
    rows = [{"text": f"{n}", "label": label} for n, label in enumerate(("Yes", "yes", "no"))]
    lines = read(tmp_path, rows, objective="classification")[2]
    assert "labels that look alike, and are learned as different ones: Yes, yes" in lines


def test_the_template_own_system_message_is_pointed_out(tmp_path: Path) -> None:
    default = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe Ada.<|im_end|>\n' }}{% endif %}"
    tokenizer = chat_tokenizer().with_chat_template(default + CHATML)
    assert any("adds a system message to every example: 'Be Ada.'" in line for line in read(tmp_path, [ROW], tokenizer)[2])
    own = {"messages": [message("system", "Mine."), *ROW["messages"]]}
    assert any("to 2 of 3 examples: 'Be Ada.'" in line for line in read(tmp_path, [ROW, own], tokenizer)[2])
    assert not any("system message" in line for line in read(tmp_path, [ROW])[2])
    assert not any("system message" in line for line in read(tmp_path, [ROW], tokenizer, system="Mine.")[2])


def test_what_is_left_out_of_conversations_is_counted(tmp_path: Path) -> None:
    longer = {"messages": [*ROW["messages"], message("user", "Bye")], "id": 7}
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": "{}"}]}
    lines = read(tmp_path, [ROW, longer, {"messages": [message("user", "Hi"), call]}])[2]
    assert "the chat template knows no tools: those of 1 examples become text, as in `lmcraft serve`" in lines
    assert f"messages after the last answer are left out of 1 examples: {tmp_path}/data.jsonl:2" in lines
    assert "columns that are not used: id" in lines


def test_data_are_repacked_with_other_tokens(tmp_path: Path) -> None:
    data, config, _ = read(tmp_path, [ROW] * 3)
    other = [[TokenizedExample(np.array([7]), np.array([8]))], [TokenizedExample(np.array([9]), np.array([10]))]]
    changed = repack(data, other, config, config.build_objective(), chat_tokenizer())
    assert next(changed.training.ordered()).input_ids[0] == 7 and next(changed.validation.ordered()).input_ids[0] == 9
    assert changed.examples == data.examples and changed.num_examples == 1


@given(texts=st.lists(st.integers(1, 9), min_size=2, max_size=30), share=st.floats(0.05, 0.95))
def test_equal_examples_are_on_the_same_side_of_the_holdout(texts: list[int], share: float) -> None:
    examples = [TokenizedExample(np.full(3, text), np.full(3, text)) for text in texts]
    if len(set(texts)) < 2:
        with pytest.raises(UserError, match="needs two different validation examples"):
            divide_holdout(examples, share)
        return
    seen, unseen = divide_holdout(examples, share)
    numbers = [sorted(int(example.input_ids[0]) for example in side) for side in (seen, unseen)]
    assert sorted([*numbers[0], *numbers[1]]) == sorted(texts)
    assert numbers[0] and numbers[1] and not set(numbers[0]) & set(numbers[1])
