"""Requests as tokens: templates, prompts and fill-in-the-middle."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http.request_builder import encode_fill_in_middle
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT


def test_fill_in_the_middle_uses_the_vocabularys_tokens() -> None:
    marks = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    tokenizer = train_bpe([TEXT], vocab_size=300, special_tokens=marks)
    code, plain = (
        cast(Any, SimpleNamespace(name="m", model=SimpleNamespace(tokenizer=t)))
        for t in (tokenizer, train_bpe([TEXT], vocab_size=300))
    )
    ids = encode_fill_in_middle(code, "the <|fim_middle|>", "fox")
    assert (
        tokenizer.decode(ids, skip_special_tokens=False) == "<|fim_prefix|>the <|fim_middle|><|fim_suffix|>fox<|fim_middle|>"
    )
    assert [i for i in ids if i in tokenizer.special_tokens.values()] == [tokenizer.id_of(mark) for mark in marks]
    with pytest.raises(ApiError, match="cannot fill in the middle"):
        encode_fill_in_middle(plain, "a", "b")
