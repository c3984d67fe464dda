"""Errors in the data that are found before the first step, and the printed batch."""

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.finetuning.data_checks import check_targets, format_batch, select_fitting
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.packing import PackedRows
from tests.finetuning.chat import chat_tokenizer, random_example


def test_examples_that_do_not_fit_are_refused_or_skipped() -> None:
    examples = [random_example(5), random_example(9), random_example(7)]
    assert select_fitting(examples, 9, skip=False) == (examples, 0)
    assert select_fitting(examples, 7, skip=True) == ([examples[0], examples[2]], 1)
    with pytest.raises(UserError, match=r"1 of 3 .* add --sequence-length 9, or --too-long skip"):
        select_fitting(examples, 7, skip=False)
    with pytest.raises(UserError, match="all 3 examples are longer"):
        select_fitting(examples, 4, skip=True)


def test_an_example_without_targets_is_named() -> None:
    examples = [random_example(5), random_example(9), random_example(7, learned_from=7)]
    check_targets(examples[:2])
    with pytest.raises(UserError, match="example 3 has no token to learn"):
        check_targets(examples)


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
