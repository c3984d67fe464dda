"""The formats of rows, and the examples that they become."""

import json
from typing import Any

import pytest

from lmcraft.data.missing import MissingCell
from lmcraft.data.separated_values import WholeNumberCell
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation, Judgment, Labeled, Preference
from lmcraft.finetuning.rows import RowFormat, parse_example
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


NAN = float("nan")
LEARNS_LABELS, LEARNS_JUDGMENTS = RowFormat(Labeled), RowFormat(Judgment)


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"text": "a", "label": 1.0}, ("1",)),
        ({"text": "a", "label": 1.5}, ("1.5",)),
        ({"text": "a", "label": 10**400}, (str(10**400),)),
        ({"text": "a", "label": " good "}, ("good",)),
        ({"text": "a", "labels": ["x", "y", "x", "x "]}, ("x", "y")),
        ({"text": "a", "labels": '["x", "y"]'}, ("x", "y")),
        ({"text": "a", "labels": "['x', 'y']"}, ("x", "y")),
        ({"text": "a", "labels": "[]"}, ()),
        ({"Text": "a", " Label ": "x"}, ("x",)),
    ],
)
def test_labels_of_one_meaning_are_one_label(row: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert parse_example(row) == Labeled("a", labels)


@pytest.mark.parametrize(
    "row",
    [
        {"sentence": "a", "category": "x"},
        {"utterance": "a", "intent": "x"},
        {"Review": "a", "Sentiment": "x"},
        {"text": "a", "label": "x", "question": "q", "answer": "b"},
    ],
)
def test_usual_columns_of_classifiers_are_recognized(row: dict[str, Any]) -> None:
    assert parse_example(row, LEARNS_LABELS) == Labeled("a", ("x",))


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Hi", "answer": "Hello"},
        {"query": "Hi", "response": "Hello"},
        {"problem": "Hi", "solution": "Hello"},
        {"input": "Hi", "output": "Hello"},
        {"Instruction": "Hi", "OUTPUT": "Hello"},
        {"prompt": "Hi", "completion": "Hello", "messages": None},
        {"prompt": None, "question": "Hi", "completion": NAN, "answer": "Hello"},
        {"prompt": "Hi", "question": "Hi", "completion": "Hello"},
        {"messages": json.dumps([QUESTION, ANSWER])},
        {"prompt": json.dumps([QUESTION]), "completion": json.dumps([ANSWER])},
        {"messages": [{"role": "USER ", "content": "Hi"}, {"role": "Assistant", "content": "Hello", "tool_calls": None}]},
        {
            "messages": [
                {"role": "human", "content": "Hi"},
                {"role": "model", "content": ["Hel", {"type": "text", "text": "lo"}]},
            ]
        },
        {"instruction": "Hi", "output": "Hello", "system": None, "history": None, "input": NAN},
    ],
)
def test_usual_columns_and_empty_fields(row: dict[str, Any]) -> None:
    example = parse_example(row, RowFormat(Conversation))
    assert isinstance(example, Conversation) and [m["content"] for m in example.messages] == ["Hi", "Hello"]


def test_columns_are_named() -> None:
    form = RowFormat(Conversation, prompt_column="in.text", answer_column="Reply")
    row = {"in": {"text": "Hi"}, "Reply": "Hello", "prompt": "other", "answer": "other", "input": "more"}
    assert parse_example(row, form) == Conversation((message("user", "Hi\nmore"), ANSWER))
    labels = RowFormat(Labeled, prompt_column="title", answer_column="topic")
    assert parse_example({"title": "a", "topic": "x", "text": "b", "label": "y"}, labels) == Labeled("a", ("x",))
    with pytest.raises(UserError, match=r"no column 'title': its columns are headline, topic"):
        parse_example({"headline": "a", "topic": "x"}, labels)
    whole = RowFormat(Conversation, prompt_column="dialog")
    assert parse_example({"dialog": [QUESTION, ANSWER]}, whole) == Conversation((QUESTION, ANSWER))


def test_a_prompt_alone_is_enough_where_answers_are_generated() -> None:
    prompts = RowFormat(Conversation, answers_needed=False)
    assert parse_example({"prompt": "Hi"}, prompts) == Conversation((QUESTION,))
    assert parse_example({"prompt": "Hi", "answer": None}, prompts) == Conversation((QUESTION,))
    assert parse_example({"question": "Hi", "answer": 5}, prompts) == Conversation((QUESTION, message("assistant", "5")))


@pytest.mark.parametrize(("label", "desirable"), [(1, True), (0.0, False), ("1", True), ("FALSE", False), (True, True)])
def test_judgments_of_every_spelling(label: Any, desirable: bool) -> None:
    row = {**CONVERSATIONS["openai"], "label": label}
    assert parse_example(row, LEARNS_JUDGMENTS) == Judgment((QUESTION, ANSWER), desirable)


def test_a_number_is_no_judgment_where_conversations_are_learned() -> None:
    assert parse_example({**CONVERSATIONS["openai"], "label": 1}, RowFormat(Conversation)) == Conversation(
        (QUESTION, ANSWER)
    )
    with pytest.raises(UserError, match="its label is 'good': kto needs true or false"):
        parse_example({**CONVERSATIONS["openai"], "label": "good"}, LEARNS_JUDGMENTS)


def test_an_empty_system_message_is_none() -> None:
    for content in (None, "", " "):
        example = parse_example({"messages": [{"role": "system", "content": content}, QUESTION, ANSWER]})
        assert example == Conversation((QUESTION, ANSWER))


def test_a_tool_result_may_be_an_object() -> None:
    example = parse_example({"messages": [QUESTION, {"role": "tool", "content": {"hour": 12}}, ANSWER]})
    assert isinstance(example, Conversation) and example.messages[1] == message("tool", '{"hour": 12}')


def test_numbers_are_texts() -> None:
    assert parse_example({"prompt": 2, "completion": 3.0}) == Conversation((message("user", "2"), message("assistant", "3")))


SECOND = (message("user", "More?"), message("assistant", "Yes"))


@pytest.mark.parametrize("prompt", [{"prompt": "Hi"}, {"prompt": [QUESTION]}, {"prompt": [QUESTION, ANSWER, SECOND[0]]}, {}])
def test_whole_conversations_beside_a_prompt_are_not_appended_to_it(prompt: dict[str, Any]) -> None:
    before, rejected = [QUESTION, ANSWER, SECOND[0]], message("assistant", "No")
    example = parse_example({**prompt, "chosen": [*before, SECOND[1]], "rejected": [*before, rejected]})
    assert example == Preference(tuple(before), SECOND[1], rejected)
    system = parse_example({**prompt, "system": "S", "chosen": [*before, SECOND[1]], "rejected": [*before, rejected]})
    assert isinstance(system, Preference) and system.prompt == (message("system", "S"), *before)


def test_a_chosen_conversation_may_stand_in_a_row_twice() -> None:
    chosen, rejected = [QUESTION, ANSWER], [QUESTION, message("assistant", "No")]
    row = {"prompt": "Hi", "prompt_id": "1", "messages": chosen, "chosen": chosen, "rejected": rejected, "score_chosen": 8.5}
    assert parse_example(row) == Preference((QUESTION,), ANSWER, rejected[-1])


def test_answers_of_several_messages_continue_a_prompt() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "clock", "arguments": {}}}]}
    tool = message("tool", "12")
    row = {"prompt": [QUESTION], "chosen": [call, tool, ANSWER], "rejected": [call, tool, message("assistant", "No")]}
    example = parse_example({**row, "tools": TOOLS})
    assert isinstance(example, Preference) and example.prompt == (QUESTION, call, tool) and list(example.tools) == TOOLS


def test_what_is_not_learned_is_marked() -> None:
    for mark in ({"weight": 0}, {"weight": 0.0}, {"train": False}, {"training": "false"}, {"loss": False}):
        example = parse_example({"messages": [QUESTION, {**ANSWER, **mark}, *SECOND]})
        assert isinstance(example, Conversation) and example.messages[1] == {**ANSWER, "weight": 0}
    for mark in ({"weight": 1}, {"train": True}, {"weight": None}, {"train": None}):
        example = parse_example({"messages": [QUESTION, {**ANSWER, **mark}, *SECOND]})
        assert isinstance(example, Conversation) and example.messages[1] == ANSWER
    empty = parse_example({"messages": [QUESTION, {**message("assistant", ""), "weight": 0}, *SECOND]})
    assert isinstance(empty, Conversation)


def test_tool_calls_have_one_form() -> None:
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    text = json.dumps({"name": "clock", "arguments": {"zone": "UTC"}})
    forms: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "tool_calls": [{"name": "clock", "arguments": '{"zone": "UTC"}'}]},
        {"role": "assistant", "content": "", "tool_calls": json.dumps([call])},
        {"role": "assistant", "content": None, "function_call": {"name": "clock", "arguments": '{"zone": "UTC"}'}},
        {"from": "function_call", "value": text},
    ]
    for form in forms:
        example = parse_example({"messages": [QUESTION, form], "tools": json.dumps([TOOLS[0]["function"]])})
        assert isinstance(example, Conversation) and list(example.tools) == TOOLS
        answer = example.messages[1]
        calls = [{"function": c["function"]} for c in answer["tool_calls"]]
        assert answer["content"] == "" and calls == [{"function": call["function"]}]


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


CALL_WITHOUT_NAME = {"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": {}}}]}
MISSING = ", which stands for a missing value: "
BROKEN_CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{oops"}}]}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "What?"}]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat(QUESTION, message("assistant", "")), r"its answer is empty \(message 2\)"),
        (chat(QUESTION, {"role": "assistant", "content": None}), "its answer is empty"),
        (chat(QUESTION, {"role": "assistant", "content": NAN}), rf"its message 2 \(assistant\) is NaN{MISSING}"),
        (chat(QUESTION, {"role": "assistant"}), "its answer is empty"),
        (chat(QUESTION, {"role": "assistant", "content": [{"type": "text", "text": " "}]}), "its answer is empty"),
        (chat(QUESTION, message("assistant", " \n"), *SECOND), "its answer is empty"),
        (chat({"role": "user", "content": None}, ANSWER), r"its message 1 \(user\) is empty"),
        (chat(), "its messages are empty"),
        ({"messages": None}, "its messages are empty"),
        ({"messages": NAN}, f"its messages are NaN{MISSING}"),
        ({"messages": 7}, "not a list of messages"),
        (chat(None, ANSWER), "its message 1 is not an object"),
        (chat({"role": None, "content": "a"}), "its message 1 has no role"),
        (chat(IMAGE, ANSWER), "part of type 'image_url', but only text is supported"),
        (chat(QUESTION, CALL_WITHOUT_NAME), "a tool call without a function's name"),
        (chat(QUESTION, BROKEN_CALL), "calls 'f' with arguments that are not a JSON object"),
        (chat(QUESTION, {**ANSWER, "weight": 0.5}), "has weight 0.5, which is not supported: use 0 or 1"),
        (chat({**QUESTION, "train": True}, ANSWER), r"\(user\) is marked to be learned"),
        (chat(QUESTION, message("assistant", "half \ud83d")), "half of a character"),
        ({**CONVERSATIONS["openai"], "images": ["a.png"]}, "images, sound or video"),
        ({"instruction": None, "input": "b", "output": "c"}, "there is no prompt"),
        ({"instruction": "a", "output": None}, "its answer is empty"),
        ({"instruction": "a", "output": NAN}, f"its answer is NaN{MISSING}"),
        ({"instruction": "a", "output": {"b": 1}}, "its answer is an object, not text"),
        ({"instruction": "a", "output": True}, "its answer is true or false, not text"),
        ({"instruction": ["a"], "output": "b"}, "message 1 is not an object"),
        ({"instruction": "a", "output": "b", "history": [["c", None]]}, "its history has a turn"),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, "its history has a turn"),
        ({"prompt": "", "completion": "b"}, "there is no prompt"),
        (
            {"prompt": "a", "question": "b", "completion": "c"},
            "columns prompt and question have the same meaning, but differ",
        ),
        ({"prompt": "a", "answer": "b", "solution": "c"}, "--answer-column"),
        ({"text": None, "label": "x"}, "its text is empty"),
        ({"text": NAN, "label": "x"}, f"its text is NaN{MISSING}"),
        ({"text": " ", "label": "x"}, "its text is empty"),
        ({"text": "a", "label": ""}, "its label is empty"),
        ({"text": "a", "label": NAN}, f"its label is NaN{MISSING}"),
        ({"text": "a", "labels": ["x", None]}, "one of its labels is empty"),
        ({"text": "a", "labels": ["x", NAN]}, f"one of its labels is NaN{MISSING}"),
        ({"prompt": MissingCell("NULL"), "completion": "b"}, "no prompt .it is 'NULL', which stands for a missing value"),
        ({"prompt": "a", "chosen": "b", "rejected": MissingCell("#N/A")}, f"its rejected answer is '#N/A'{MISSING}"),
        ({"text": "a", "labels": [["x"]]}, "its label is a list, not text"),
        ({"text": ["a"], "label": "x"}, "its text is a list, not text"),
        ({"prompt": "a", "chosen": "b", "rejected": None}, "its rejected answer is empty"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "its chosen answer is empty"),
        ({"prompt": "a", "chosen": [message("assistant", "")], "rejected": "b"}, "ends with an empty answer"),
        ({"prompt": "a", "chosen": [QUESTION, ANSWER], "rejected": [QUESTION, ANSWER]}, "does not begin with its prompt"),
        ({"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, ANSWER, *SECOND]}, "differ before their last answers"),
        ({"chosen": [QUESTION, ANSWER, SECOND[0]], "rejected": [QUESTION, ANSWER]}, "ends with a message of the user"),
        ({"chosen": [QUESTION, {**ANSWER, "weight": 0}], "rejected": [QUESTION, ANSWER]}, "answer of weight 0"),
        ({**chat(QUESTION), "label": True}, "ends with a message of the user"),
        ({"prompt": "a", "completion": float("inf")}, "its answer is inf, not text"),
        ({"text": "a", "label": {"b": 1}}, "its label is an object, not text"),
        ({"text": "a", "labels": [0, 1, 0]}, r"\[0, 1, 0\] are a 0 or 1 for each class: list the names"),
        ({"text": "a", "labels": "[1.0, 0.0, 0.0]"}, "list the names of its classes"),
        ({"text": "a"}, "match no known format"),
        (None, "object with named fields"),
    ],
)
def test_rows_that_cannot_be_used_are_explained(row: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        parse_example(row)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (1.0, "1"),
        (-2.0, "-2"),
        (1.5, "1.5"),
        (10**400, "1" + "0" * 400),
        (9007199254740993, "9007199254740993"),
        *((name, name) for name in ("1.0", "007", "1_0", "10E5", "1e999", "9007199254740993", "v1.0", "+1", "٣")),
        (WholeNumberCell("1.0"), "1"),
        (WholeNumberCell(" -2.00 "), "-2"),
    ],
)
def test_numbers_are_labels_by_value_and_texts_by_spelling(label: Any, name: str) -> None:
    example = parse_example({"text": "a", "label": label}, RowFormat(Labeled))
    assert isinstance(example, Labeled) and example.labels == (name,)


def test_fields_of_messages_are_recognized_without_regard_to_case() -> None:
    question, answer = {"Role": "user", "Content": "q"}, {"role": "assistant", "content": "a"}
    example = parse_example({"messages": [question, answer | {"Weight": 0}, question, answer]})
    assert isinstance(example, Conversation)
    assert [message.get("weight") for message in example.messages] == [None, 0, None, None]
    with pytest.raises(UserError, match="'weight' in two spellings"):
        parse_example({"messages": [question, answer | {"Weight": 0, "weight": 1}]})
    with pytest.raises(UserError, match="train_detail"):
        parse_example({"messages": [question, answer | {"train_detail": [{"begin_offset": 0, "train": False}]}]})
