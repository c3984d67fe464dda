"""What rows are recognized as, in every form that people keep them in."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.examples import (
    Conversation,
    Example,
    Judgment,
    Labeled,
    Preference,
    example_of,
    read_examples,
    with_system,
)
from tests.finetuning.chat import says

ASKED, ANSWERED = says("user", "Hi"), says("assistant", "Hello")
TOOLS = [{"type": "function", "function": {"name": "clock"}}]
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "openai": {"messages": [ASKED, ANSWERED]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "openai in parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ANSWERED]},
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello"},
    "prompt and completion": {"prompt": "Hi", "completion": "Hello"},
    "prompt and response": {"prompt": "Hi", "response": "Hello"},
    "messages of prompt and completion": {"prompt": [ASKED], "completion": [ANSWERED]},
}
PREFERENCES: dict[str, dict[str, Any]] = {
    "text": {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
    "messages beside a prompt": {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [says("assistant", "No")]},
    "messages with the prompt": {"chosen": [ASKED, ANSWERED], "rejected": [ASKED, says("assistant", "No")]},
    "one message": {"messages": [ASKED], "chosen": ANSWERED, "rejected": says("assistant", "No")},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello"},
        "rejected": {"from": "gpt", "value": "No"},
    },
    "alpaca": {"instruction": "Hi", "chosen": "Hello", "rejected": "No"},
    "question": {"question": "Hi", "chosen": "Hello", "rejected": "No"},
}


def written(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_in_every_form(name: str) -> None:
    assert example_of(CONVERSATIONS[name]) == Conversation((ASKED, ANSWERED))


@pytest.mark.parametrize("name", PREFERENCES)
def test_preferences_in_every_form(name: str) -> None:
    assert example_of(PREFERENCES[name]) == Preference((ASKED,), ANSWERED, says("assistant", "No"))


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("wanted", [True, False])
def test_a_conversation_with_a_yes_or_no_is_a_judgment(name: str, wanted: bool) -> None:
    assert example_of({**CONVERSATIONS[name], "label": wanted}) == Judgment((ASKED, ANSWERED), wanted)


def test_alpaca_has_its_input_history_and_system_in_order() -> None:
    row = {"instruction": "Add", "input": "1 2", "output": "3", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    expected = (says("system", "Be brief."), ASKED, ANSWERED, says("user", "Add\n1 2"), says("assistant", "3"))
    assert example_of(row) == Conversation(expected)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_system_field_is_said_first(name: str) -> None:
    found = example_of({**CONVERSATIONS[name], "system": "Be brief."})
    assert found == Conversation((says("system", "Be brief."), ASKED, ANSWERED))


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_system_field_is_said_before_both_answers(name: str) -> None:
    found = example_of({**PREFERENCES[name], "system": "Be brief."})
    assert isinstance(found, Preference) and found.prompt == (says("system", "Be brief."), ASKED)


def test_other_roles_and_tools_are_kept() -> None:
    rows = [{"from": "human", "value": "Time?"}, {"from": "function_call", "value": "clock()"}]
    rows += [{"from": "observation", "value": "12"}, {"from": "gpt", "value": "Noon"}]
    for tools in (TOOLS, json.dumps(TOOLS)):
        found = example_of({"conversations": rows, "tools": tools})
        assert isinstance(found, Conversation) and list(found.tools) == TOOLS
        assert [message["role"] for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "clock", "arguments": {}}}]}
    found = example_of({"messages": [ASKED, call]})
    assert isinstance(found, Conversation) and found.messages[1] == {**call, "content": ""}


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
    assert example_of(row) == Labeled("a", labels)


def test_a_missing_label_is_not_an_empty_set_of_labels() -> None:
    with pytest.raises(UserError, match="label"):
        example_of({"text": "a", "label": None})


def tables(folder: Path) -> dict[str, Path]:
    """The same two rows in every kind of file."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"prompt": "Hi, 你好", "completion": 'a "b"\nc'}, {"prompt": "2", "completion": "d"}]
    files = {kind: folder / f"data.{kind}" for kind in ("jsonl", "json", "csv", "tsv", "parquet")}
    written(files["jsonl"], rows)
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
    first = (says("user", "Hi, 你好"), says("assistant", 'a "b"\nc'))
    expected: list[Example] = [Conversation(first), Conversation((says("user", "2"), says("assistant", "d")))]
    assert {kind: read_examples([file]) for kind, file in files.items()} == dict.fromkeys(files, expected)
    assert read_examples(list(files.values())) == expected * len(files)


def test_nested_rows_come_out_of_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([CONVERSATIONS["openai"]]), tmp_path / "data.parquet")
    assert read_examples([tmp_path / "data.parquet"]) == [Conversation((ASKED, ANSWERED))]


def test_variables_are_filled_in_where_there_are_any(tmp_path: Path) -> None:
    file = written(tmp_path / "data.jsonl", [{"prompt": "I am {{name}} and {{ name }}", "completion": "{{ other }}"}])
    (plain,) = read_examples([file])
    assert isinstance(plain, Conversation) and plain.messages[0]["content"] == "I am {{name}} and {{ name }}"
    (filled,) = read_examples([file], {"name": "Ada", "other": "x"})
    assert filled == Conversation((says("user", "I am Ada and Ada"), says("assistant", "x")))
    with pytest.raises(UserError, match=r"data.jsonl:1 .*\{\{ other \}\}.*--variables.other"):
        read_examples([file], {"name": "Ada"})
    both = written(tmp_path / "both.jsonl", [{"prompt": "{{n}}", "chosen": "{{n}}1", "rejected": "{{n}}2"}])
    (pair,) = read_examples([both], {"n": "7"})
    assert pair == Preference((says("user", "7"),), says("assistant", "71"), says("assistant", "72"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "a", "reply": "b"}], r"data.jsonl:1 .*\(question, reply\) are of no known kind"),
        (["text"], "data.jsonl:1 .*named fields"),
        ([{"messages": [{"content": "a"}]}], "data.jsonl:1 .*damaged"),
        ([{"messages": "Hi"}], "data.jsonl:1 .*damaged"),
        ([{"chosen": "a", "rejected": "b"}], "data.jsonl:1 .*no prompt"),
        ([{"chosen": [ASKED, ANSWERED], "rejected": [says("user", "Ho"), ANSWERED]}], "differ before their last"),
        ([CONVERSATIONS["alpaca"], PREFERENCES["text"]], r"several kinds \(conversations, preferences\)"),
        ([], "has no rows"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_examples([written(tmp_path / "data.jsonl", rows)])


def test_files_that_have_no_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_examples([tmp_path / "none.jsonl"])
    (tmp_path / "data.txt").write_text("text")
    with pytest.raises(UserError, match="jsonl"):
        read_examples([tmp_path / "data.txt"])
    (tmp_path / "data.jsonl").write_text('{"prompt": "a"')
    with pytest.raises(UserError, match=r"data.jsonl:1"):
        read_examples([tmp_path / "data.jsonl"])


def test_a_system_message_is_added_where_there_is_none() -> None:
    own = Conversation((says("system", "Mine."), ASKED, ANSWERED))
    bare: list[Example] = [Conversation((ASKED, ANSWERED)), Preference((ASKED,), ANSWERED, ANSWERED)]
    told, prompted, kept = with_system([*bare, own], "Be brief.")
    assert isinstance(told, Conversation) and told.messages == (says("system", "Be brief."), ASKED, ANSWERED)
    assert isinstance(prompted, Preference) and prompted.prompt == (says("system", "Be brief."), ASKED)
    assert kept == own
