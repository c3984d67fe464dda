"""Errors in the data that are found before the first step, and the printed batch."""

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.data_checks import EncodedExample, LongExample, check_lengths, format_batch, select_fitting
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.examples import Labeled
from lmcraft.finetuning.objectives.kto import KTO
from lmcraft.finetuning.packing import PackedRows
from tests.finetuning.chat import chat_tokenizer, random_example


def test_examples_that_do_not_fit_are_named() -> None:
    examples: list[EncodedExample] = [
        (Labeled("text", ("a",), origin=f"x.csv:{length}"), random_example(length)) for length in (5, 9, 7)
    ]
    long_rows: list[LongExample] = []
    assert select_fitting(examples, 7, long_rows) == [examples[0], examples[2]]
    assert long_rows == [LongExample("x.csv:9", 9)]


@pytest.mark.parametrize(
    ("tokens", "remedy"),
    [
        ((9, 8), "longer than sequence_length=7 .*the longest has 9 tokens.*add --sequence-length 9, or --too-long skip"),
        ((9, 40), r"longer than the model's context of 32 tokens \(x.csv:0, x.csv:1\).*shorten them.*--too-long skip"),
        ((9, None), "longer than the model's context of 32 tokens"),
    ],
)
def test_the_remedy_for_long_examples_exists(tokens: tuple[int | None, ...], remedy: str) -> None:
    long_rows = [LongExample(f"x.csv:{line}", number) for line, number in enumerate(tokens)]
    with pytest.raises(UserError, match=f"2 examples are {remedy}"):
        check_lengths(long_rows, FinetuneConfig("model", ()), 32, 7)
    check_lengths(long_rows, FinetuneConfig("model", (), too_long="skip"), 32, 7)


def test_both_answers_of_a_pair_count_together() -> None:
    with pytest.raises(UserError, match="1 example, with both answers in one row, is longer than the model's context"):
        check_lengths([LongExample("x.jsonl:1", 40, num_documents=2)], FinetuneConfig("model", ()), 32, 7)


def test_a_batch_is_printed_with_its_documents_and_learned_tokens() -> None:
    a, b, c, d = (chat_tokenizer().encode(letter)[0] for letter in "abcd")
    first = TokenizedExample(np.array([a, b]), np.array([IGNORE_INDEX, c]))
    second = TokenizedExample(np.array([d, a]), np.array([a, b]))
    batch = PackedRows([first, second], 6).batch([0])
    assert format_batch(batch, chat_tokenizer()).splitlines() == [
        "row 1, document 1: 2 tokens, 1 of them learned",
        "'a' 'b' *'c'",
        "row 1, document 2: 2 tokens, 2 of them learned",
        "'d' *'a' *'b'",
        "row 1: 2 positions of padding",
    ]
    labeled = PackedRows([TokenizedExample(np.array([a]), np.array([3]))], 2).batch([0])
    assert "  -> [3]" in format_batch(labeled, chat_tokenizer(), targets_are_tokens=False)


def test_documents_that_are_not_learned_have_no_stars() -> None:
    a, b = (chat_tokenizer().encode(letter)[0] for letter in "ab")
    batch = PackedRows([TokenizedExample(np.array([a]), np.array([b]), values=np.array([1.0], np.float32))], 2).batch([0])
    describe = KTO().describe_document
    assert format_batch(batch, chat_tokenizer(), describe=describe).startswith(
        "row 1, document 1 (desirable): 1 tokens, 1 of"
    )
    reference = format_batch(batch, chat_tokenizer(), describe=lambda number, values: describe(1, values))
    assert "divergence): 1 tokens, 0 of them learned" in reference and "*" not in reference
