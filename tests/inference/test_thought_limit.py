"""A limit of the tokens that a model thinks before its answer."""

from collections.abc import Sequence

import pytest
import torch

from lmcraft.inference.thought_format import FORMATS
from lmcraft.inference.thought_limit import ThoughtLimit
from lmcraft.inference.thoughts import Thinking, ThoughtParser
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.finetuning.chat import CHATML, chat_model, chat_tokenizer

BEGINS_THOUGHTS = CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'") + "{# </think> #}"
HELLO = [{"role": "user", "content": "the fox"}]


def follow(limit: ThoughtLimit, tokenizer: Tokenizer, wanted: Sequence[int]) -> str:
    """The text of the tokens that a model writes that wants these ones, one after the other."""
    ids = []
    for token_id in wanted:
        logits_1V = torch.zeros(1, tokenizer.vocab_size)
        logits_1V[0, token_id] = 5.0
        ids.append(int(limit.mask_logits(logits_1V).argmax()))
        limit.accept(ids[-1])
    return tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("budget", "is_open", "expected"),
    [
        (0, True, "\n</think>\n\n"),
        (3, True, "aaa\n</think>\n\n"),
        (0, False, ""),
    ],
)
def test_thoughts_are_closed_after_the_budget(budget: int, is_open: bool, expected: str) -> None:
    tokenizer = chat_tokenizer(CHATML)
    limit = ThoughtLimit(Thinking(FORMATS["qwen3"], is_open), tokenizer, budget)
    (a,) = tokenizer.encode("a")
    text = follow(limit, tokenizer, [a] * 40)
    assert text == expected + "a" * (40 - len(tokenizer.encode(expected)))


def test_implied_thoughts_are_closed_at_once_without_a_budget() -> None:
    tokenizer = chat_tokenizer(CHATML)
    limit = ThoughtLimit(Thinking(FORMATS["deepseek_r1"], is_open=False), tokenizer, 0)
    assert follow(limit, tokenizer, tokenizer.encode("a") * 40).startswith("\n</think>\n\na")


def test_thoughts_that_the_model_begins_itself_are_closed() -> None:
    tokenizer = chat_tokenizer(CHATML)
    limit = ThoughtLimit(Thinking(FORMATS["qwen3"], is_open=False), tokenizer, 0)
    text = follow(limit, tokenizer, [*tokenizer.encode("<think>"), *tokenizer.encode("a") * 40])
    assert text.startswith("<think>\n</think>\n\na") and text.endswith("aaa")


@pytest.mark.parametrize("budget", [0, 5])
def test_generation_answers_when_the_budget_is_used_up(budget: int) -> None:
    model = LanguageModel(chat_model(), chat_tokenizer(BEGINS_THOUGHTS))
    prompt = model.tokenizer.encode(model.tokenizer.apply_chat_template(HELLO), parse_special=True)
    free = list(model.tokens(prompt, max_new_tokens=40, seed=3))
    tokens = list(model.tokens(prompt, max_new_tokens=40, seed=3, thinking_token_budget=budget))
    assert [token.id for token in tokens[:budget]] == [token.id for token in free[:budget]]
    parser = ThoughtParser(FORMATS["qwen3"], is_open=True)
    parts = [parser.put(token.text) for token in tokens]
    assert not parser.is_thinking and "".join(answer for _, answer in parts)
