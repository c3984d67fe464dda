"""What a model thinks before its answer, told apart in text that arrives in pieces."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.inference.thought_format import FORMATS, ReasoningParser
from lmcraft.inference.thoughts import Thinking, ThoughtParser, find_format
from tests.finetuning.chat import CHATML, chat_tokenizer


def parse(text: str, *, form: str = "qwen3", is_open: bool = False, size: int = 1) -> tuple[str, str]:
    """The thoughts and the answer of a text that arrives in pieces of this size."""
    parser = ThoughtParser(FORMATS[form], is_open=is_open)
    parts = [parser.put(text[n : n + size]) for n in range(0, len(text), size)] + [parser.end()]
    return "".join(thoughts for thoughts, _ in parts), "".join(answer for _, answer in parts)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "is_open", "expected"),
    [
        ("<think>\nwhy?\n</think>\n\nSo.", False, ("why?", "So.")),
        ("why?\n</think>\n\nSo.", True, ("why?", "So.")),
        ("\n <think>a < b\n\nc</think>So. <think>x</think>", False, ("a < b\n\nc", "So. <think>x</think>")),
        ("So.", False, ("", "So.")),
        ("  So. <think>", False, ("", "  So. <think>")),
        ("<think></think>So.", False, ("", "So.")),
        ("<think>\n\n</think>\n\n", False, ("", "")),
        ("<think>cut off </thi", False, ("cut off </thi", "")),
        ("cut off\n", True, ("cut off", "")),
        ("<thi", False, ("", "<thi")),
        ("</think>So.", False, ("", "</think>So.")),
        ("", True, ("", "")),
        (" \n", False, ("", " \n")),
    ],
)
def test_texts_are_divided(text: str, is_open: bool, expected: tuple[str, str], size: int) -> None:
    assert parse(text, is_open=is_open, size=size) == expected


@given(st.text(alphabet="<think>/ \nab", max_size=40), st.booleans(), st.integers(1, 9))
def test_the_pieces_make_no_difference(text: str, is_open: bool, size: int) -> None:
    thoughts, answer = parse(text, is_open=is_open, size=size)
    assert (thoughts, answer) == parse(text, is_open=is_open, size=1000)
    if not is_open and not text.lstrip().startswith("<think>"):
        assert (thoughts, answer) == ("", text)
    assert thoughts == thoughts.strip() and len(thoughts) + len(answer) <= len(text)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("deepseek_r1", "why?\n</think>\n\nSo.", ("why?", "So.")),
        ("deepseek_r1", "<think>\nwhy?\n</think>\n\nSo.", ("why?", "So.")),
        ("deepseek_r1", "So.", ("So.", "")),
        ("mistral", "[THINK]why?[/THINK]So.", ("why?", "So.")),
        ("seed_oss", "<seed:think>why?</seed:think>So.", ("why?", "So.")),
        ("granite", "Here is my thought process:\nwhy?\n\nHere is my response:\nSo.", ("why?", "So.")),
        ("granite", "Here is my answer.", ("", "Here is my answer.")),
    ],
)
def test_formats(form: str, text: str, expected: tuple[str, str], size: int) -> None:
    assert parse(text, form=form, size=size) == expected


def test_a_format_has_the_name_of_a_reasoning_parser_or_is_that_of_the_template() -> None:
    assert set(get_args(ReasoningParser)) == {"auto", "none", *FORMATS}
    template = CHATML + "{# [THINK] [/THINK] #}"
    assert find_format(chat_tokenizer(template)) == FORMATS["mistral"]
    assert find_format(chat_tokenizer(template), "qwen3") == FORMATS["qwen3"]
    assert find_format(chat_tokenizer(template), "none") is None
    assert find_format(chat_tokenizer(CHATML)) is None


def test_a_prompt_that_ends_the_thoughts_leaves_none_to_be_implied() -> None:
    tokenizer = chat_tokenizer(CHATML)
    for prompt, is_open, is_implied in [
        ("<think>\n", True, True),
        ("a", False, True),
        ("<think>\n\n</think>\n\n", False, False),
    ]:
        thinking = Thinking.after(tokenizer.encode(prompt), tokenizer, FORMATS["deepseek_r1"])
        assert thinking is not None and (thinking.is_open, thinking.form.is_implied) == (is_open, is_implied)
