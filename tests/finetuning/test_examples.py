"""The formats of rows, and the examples that they become."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.example_files import read_examples
from lmcraft.finetuning.examples import Conversation, Example, Judgment, Labeled, Preference, add_system_message
from lmcraft.finetuning.rows import parse_example
from tests.finetuning.chat import message

QUESTION, ANSWER = message("user", "Hi"), message("assistant", "Hello")
TOOLS = [{"type": "function", "function": {"name": "clock"}}]
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "openai": {"messages": [QUESTION, ANSWER]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "openai in parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ANSWER]},
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello"},
    "prompt and completion": {"prompt": "Hi", "completion": "Hello"},
    "prompt and response": {"prompt": "Hi", "response": "Hello"},
    "messages of prompt and completion": {"prompt": [QUESTION], "completion": [ANSWER]},
}
PREFERENCES: dict[str, dict[str, Any]] = {
    "text": {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
    "messages next to a prompt": {"prompt": [QUESTION], "chosen": [ANSWER], "rejected": [message("assistant", "No")]},
    "messages with the prompt": {"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, message("assistant", "No")]},
    "one message": {"messages": [QUESTION], "chosen": ANSWER, "rejected": message("assistant", "No")},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello"},
        "rejected": {"from": "gpt", "value": "No"},
    },
    "alpaca": {"instruction": "Hi", "chosen": "Hello", "rejected": "No"},
    "question": {"question": "Hi", "chosen": "Hello", "rejected": "No"},
}


def write_rows(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_in_every_format(name: str) -> None:
    assert parse_example(CONVERSATIONS[name]) == Conversation((QUESTION, ANSWER))


@pytest.mark.parametrize("name", PREFERENCES)
def test_preferences_in_every_format(name: str) -> None:
    assert parse_example(PREFERENCES[name]) == Preference((QUESTION,), ANSWER, message("assistant", "No"))


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("desirable", [True, False])
def test_a_conversation_with_a_yes_or_no_is_a_judgment(name: str, desirable: bool) -> None:
    assert parse_example({**CONVERSATIONS[name], "label": desirable}) == Judgment((QUESTION, ANSWER), desirable)


def test_alpaca_has_its_input_history_and_system_in_order() -> None:
    row = {"instruction": "Add", "input": "1 2", "output": "3", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    expected = (message("system", "Be brief."), QUESTION, ANSWER, message("user", "Add\n1 2"), message("assistant", "3"))
    assert parse_example(row) == Conversation(expected)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_system_field_becomes_the_first_message(name: str) -> None:
    example = parse_example({**CONVERSATIONS[name], "system": "Be brief."})
    assert example == Conversation((message("system", "Be brief."), QUESTION, ANSWER))


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_system_field_precedes_both_answers(name: str) -> None:
    example = parse_example({**PREFERENCES[name], "system": "Be brief."})
    assert isinstance(example, Preference) and example.prompt == (message("system", "Be brief."), QUESTION)


def test_other_roles_and_tools_are_kept() -> None:
    rows = [{"from": "human", "value": "Time?"}, {"from": "function_call", "value": "clock()"}]
    rows += [{"from": "observation", "value": "12"}, {"from": "gpt", "value": "Noon"}]
    for tools in (TOOLS, json.dumps(TOOLS)):
        example = parse_example({"conversations": rows, "tools": tools})
        assert isinstance(example, Conversation) and list(example.tools) == TOOLS
        assert [message["role"] for message in example.messages] == ["user", "assistant", "tool", "assistant"]
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "clock", "arguments": {}}}]}
    example = parse_example({"messages": [QUESTION, call]})
    assert isinstance(example, Conversation) and example.messages[1] == {**call, "content": ""}


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"text": "a", "label": "good"}, ("good",)),
        ({"text": "a", "label": 3}, ("3",)),
        ({"text": "a", "label": True}, ("True",)),
        ({"text": "a", "labels": ["x", "y"]}, ("x", "y")),
        ({"text": "a", "labels": []}, ()),
    ],
)
def test_labels_are_texts(row: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert parse_example(row) == Labeled("a", labels)


def test_a_missing_label_is_not_an_empty_set_of_labels() -> None:
    with pytest.raises(UserError, match="label"):
        parse_example({"text": "a", "label": None})


def tables(folder: Path) -> dict[str, Path]:
    """The same two rows in every kind of file."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"prompt": "Hi, 你好", "completion": 'a "b"\nc'}, {"prompt": "2", "completion": "d"}]
    files = {kind: folder / f"data.{kind}" for kind in ("jsonl", "json", "csv", "tsv", "parquet")}
    write_rows(files["jsonl"], rows)
    files["json"].write_text(json.dumps(rows), encoding="utf-8")
    for kind, delimiter in (("csv", ","), ("tsv", "\t")):
        with files[kind].open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), files["parquet"])
    return files


def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path) -> None:
    files = tables(tmp_path)
    first = (message("user", "Hi, 你好"), message("assistant", 'a "b"\nc'))
    expected: list[Example] = [Conversation(first), Conversation((message("user", "2"), message("assistant", "d")))]
    assert {kind: read_examples([file]) for kind, file in files.items()} == dict.fromkeys(files, expected)
    assert read_examples(list(files.values())) == expected * len(files)


def test_nested_rows_are_read_from_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([CONVERSATIONS["openai"]]), tmp_path / "data.parquet")
    assert read_examples([tmp_path / "data.parquet"]) == [Conversation((QUESTION, ANSWER))]


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "a", "reply": "b"}], r"data.jsonl:1 .*\(question, reply\) match no known format"),
        (["text"], "data.jsonl:1 .*named fields"),
        ([{"messages": [{"content": "a"}]}], "data.jsonl:1 .*message 1 has no role"),
        ([{"messages": "Hi"}], "data.jsonl:1 .*not a list of messages"),
        ([{"chosen": "a", "rejected": "b"}], "data.jsonl:1 .*no prompt"),
        ([{"chosen": [QUESTION, ANSWER], "rejected": [message("user", "Ho"), ANSWER]}], "differ before their last"),
        ([CONVERSATIONS["alpaca"], PREFERENCES["text"]], r"several kinds \(conversations, preferences\)"),
        ([], "has no rows"),
    ],
)
def test_unusable_rows_are_named_in_the_error(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_examples([write_rows(tmp_path / "data.jsonl", rows)])


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_examples([tmp_path / "none.jsonl"])
    (tmp_path / "data.txt").write_text("text")
    with pytest.raises(UserError, match="jsonl"):
        read_examples([tmp_path / "data.txt"])
    (tmp_path / "data.jsonl").write_text('{"prompt": "a"')
    with pytest.raises(UserError, match=r"data.jsonl:1"):
        read_examples([tmp_path / "data.jsonl"])


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
