"""The tokens of fill-in-the-middle in vocabularies of several projects."""

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer import Tokenizer, train_bpe
from lmcraft.tokenizer.fill_in_middle import (
    FILL_IN_MIDDLE_TOKENS,
    SPELLINGS,
    FillInMiddle,
    require_fill_in_middle,
    with_fill_in_middle,
)
from tests.tiny import TEXT


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return train_bpe([TEXT], vocab_size=300)


@pytest.mark.parametrize("names", SPELLINGS, ids=["lmcraft", "starcoder", "santacoder", "deepseek", "glm", "codellama"])
def test_every_spelling_gives_a_prompt(names: tuple[str, str, str], plain: Tokenizer) -> None:
    tokenizer = plain.with_special_tokens([*names, "<|file_sep|>"])
    tokens = FillInMiddle.of(tokenizer)
    assert tokens is not None
    text = tokenizer.decode(tokens.prompt(tokenizer, "the ", f" fox{names[2]}"), skip_special_tokens=False)
    assert text == f"{names[0]}the {names[1]} fox{names[2]}{names[2]}"
    assert tokens.prompt(tokenizer, "", "").count(tokens.middle) == 1
    assert tokenizer.eos_token_id in tokens.ends and tokenizer.id_of("<|file_sep|>") in tokens.ends


def test_tokens_that_begin_every_text_come_first(plain: Tokenizer) -> None:
    tokenizer = with_fill_in_middle(plain).with_borders(begin=[0])
    tokens = require_fill_in_middle(tokenizer, "suffix")
    assert tokens.prompt(tokenizer, "a", "b")[:2] == [0, tokens.prefix]
    assert tokens.prompt(tokenizer, "a", "b", add_special_tokens=False)[0] == tokens.prefix


def test_tokens_are_added_once(plain: Tokenizer) -> None:
    tokenizer = with_fill_in_middle(plain)
    assert tokenizer.vocab_size == plain.vocab_size + 3
    assert with_fill_in_middle(tokenizer) is tokenizer
    assert list(tokenizer.special_tokens)[1:] == list(FILL_IN_MIDDLE_TOKENS)


def test_a_vocabulary_without_them_is_refused(plain: Tokenizer) -> None:
    assert FillInMiddle.of(plain) is None
    with pytest.raises(UserError, match=r"^suffix needs a vocabulary with tokens for fill-in-the-middle.*--fim"):
        require_fill_in_middle(plain, "suffix")
