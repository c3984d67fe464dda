import pytest

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.prompt import check_prompt, check_token_ids, encode_prompt
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.inference.helpers import tokenizer


class StubTokenizer:
    """Encodes nothing but "a", as the token 5."""

    def __init__(self, begin_ids: tuple[int, ...], bos_token_id: int | None, eos_token_id: int | None) -> None:
        self.begin_ids, self.bos_token_id, self.eos_token_id = begin_ids, bos_token_id, eos_token_id

    def encode(self, text: str) -> list[int]:
        return [5] if text == "a" else []


@pytest.mark.parametrize(
    ("begin_ids", "bos", "eos", "text", "expected"),
    [
        ((1,), 1, 2, "a", [1, 5]),
        ((), 1, 2, "a", [5]),
        ((1,), 1, 2, "", [1]),
        ((), 1, 2, "", [1]),
        ((), None, 2, "", [2]),
        ((), 0, 2, "", [0]),
        ((), None, None, "a", [5]),
    ],
)
def test_the_first_token_of_a_prompt(
    begin_ids: tuple[int, ...], bos: int | None, eos: int | None, text: str, expected: list[int]
) -> None:
    stub: Tokenizer = StubTokenizer(begin_ids, bos, eos)  # type: ignore[assignment]
    assert encode_prompt(stub, text) == expected


def test_special_tokens_can_be_left_out() -> None:
    stub: Tokenizer = StubTokenizer((1,), 1, 2)  # type: ignore[assignment]
    assert encode_prompt(stub, "a", add_special_tokens=False) == [5]


def test_an_empty_prompt_without_any_token_to_begin_with_is_refused() -> None:
    stub: Tokenizer = StubTokenizer((), None, None)  # type: ignore[assignment]
    with pytest.raises(UserError, match="the prompt is empty"):
        encode_prompt(stub, "")


def test_real_tokenizers_begin_an_empty_text_with_their_end_token() -> None:
    assert encode_prompt(tokenizer(), "") == [tokenizer().eos_token_id]
    assert encode_prompt(tokenizer(), "从前") == tokenizer().encode("从前")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"max_new_tokens": 7}, 7), ({"max_length": 9}, 6), ({"max_new_tokens": 0}, 61), ({"max_new_tokens": 99}, 61)],
)
def test_the_smallest_limit_holds(settings: dict[str, int], expected: int) -> None:
    config = GenerationConfig().updated(settings)
    assert check_prompt([1, 2, 3], config, vocab_size=96, context_length=64, tokenizer=None) == expected


def test_token_ids_are_checked_at_both_ends() -> None:
    check_token_ids([0, 95], 96)
    for token_id in (-1, 96):
        with pytest.raises(UserError, match=f"the prompt has token {token_id}, but the model's token ids are 0 to 95"):
            check_token_ids([0, token_id], 96)
