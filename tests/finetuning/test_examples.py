"""What is done with examples before they become tokens."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.example_files import read_examples
from lmcraft.finetuning.examples import (
    Conversation,
    Example,
    Preference,
    add_system_message,
    answer_text,
    dialog,
    preview,
)
from tests.finetuning.chat import message, write_rows

QUESTION, ANSWER = message("user", "Hi"), message("assistant", "Hello")


def test_placeholders_are_replaced_by_variables(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "data.jsonl", [{"prompt": "I am {{name}} and {{ name }}", "completion": "{{ other }}"}])
    (plain,) = read_examples([file])
    assert isinstance(plain, Conversation) and plain.messages[0]["content"] == "I am {{name}} and {{ name }}"
    (filled,) = read_examples([file], {"name": "Ada", "other": "x"})
    assert filled == Conversation((message("user", "I am Ada and Ada"), message("assistant", "x")))
    with pytest.raises(UserError, match=r"data.jsonl:1 .*\{\{ other \}\}.*--variables.other"):
        read_examples([file], {"name": "Ada"})
    both = write_rows(tmp_path / "both.jsonl", [{"prompt": "{{n}}", "chosen": "{{n}}1", "rejected": "{{n}}2"}])
    (pair,) = read_examples([both], {"n": "7"})
    assert pair == Preference((message("user", "7"),), message("assistant", "71"), message("assistant", "72"))


def test_a_system_message_is_added_where_there_is_none() -> None:
    with_system = Conversation((message("system", "Mine."), QUESTION, ANSWER))
    bare: list[Example] = [Conversation((QUESTION, ANSWER)), Preference((QUESTION,), ANSWER, ANSWER)]
    conversation, preference, kept = add_system_message([*bare, with_system], "Be brief.")
    assert isinstance(conversation, Conversation) and conversation.messages == (
        message("system", "Be brief."),
        QUESTION,
        ANSWER,
    )
    assert isinstance(preference, Preference) and preference.prompt == (message("system", "Be brief."), QUESTION)
    assert kept == with_system


def test_a_dialog_ends_with_its_last_answer() -> None:
    assert dialog(Conversation((QUESTION, ANSWER, QUESTION))) == (dict(QUESTION), dict(ANSWER))
    assert dialog(Conversation((QUESTION,))) == (dict(QUESTION),)


def test_tool_calls_are_shown() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "area", "arguments": {"w": 1}}}]}
    assert preview(Conversation((QUESTION, call))) == """user: 'Hi' | assistant: area({"w": 1})"""
    assert answer_text(call) == 'area({"w": 1})' and answer_text(ANSWER) == "Hello"
