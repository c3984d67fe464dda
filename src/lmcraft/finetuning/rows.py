"""Training examples from the rows of a file, recognized by their fields.

| format | fields of a row | becomes |
|---|---|---|
| messages | `messages` of role and content (OpenAI), or `conversations` of from and value (ShareGPT) | `Conversation` |
| Alpaca | `instruction`, `output`, and optionally `input`, `system`, `history` | `Conversation` |
| prompt and answer | one of `PROMPTS` and one of `ANSWERS`, as text or messages | `Conversation` |
| preferences | `chosen` and `rejected`, and a prompt in any of these formats | `Preference` |
| judgments (KTO) | a conversation in any of these formats, and a `label` of true or false | `Judgment` |
| labels | `text` and `label` (or a list of `labels`) | `Labeled` |

An empty field (null, NaN, or a text without a visible character) counts as missing.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.data.missing import describe_empty, is_empty
from lmcraft.data.separated_values import WholeNumberCell
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation, Example, Judgment, Labeled, Preference
from lmcraft.finetuning.messages import (
    Message,
    check_conversation,
    is_learned,
    message_list,
    parse_answer,
    parse_messages,
    parse_tools,
    text_message,
    truth,
)
from lmcraft.finetuning.row_fields import Fields, as_text, parse_json

MESSAGES = ("messages", "conversations", "conversation")
PROMPTS = ("prompt", "instruction", "question", "query", "problem", "user")
INPUTS = ("input", "context")
ANSWERS = ("completion", "response", "output", "answer", "solution", "assistant")
TEXTS = ("text", "sentence", "content", "review", "comment", "utterance", "tweet", "body")
LABELS = ("label", "labels", "category", "class", "intent", "sentiment")
VERDICTS = ("label", "kto_tag")
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
FORMATS = "messages; conversations; instruction, output; prompt, completion; chosen, rejected; text, label"


@dataclass(frozen=True)
class RowFormat:
    """The examples that an objective learns from, and the names of columns that are not among the usual ones."""

    example_type: type | None = None
    """The type of example to prefer where a row fits several."""
    answers_needed: bool = True
    """Whether a conversation must have an answer."""
    prompt_column: str = ""
    """Of the prompt, or of the text to classify."""
    answer_column: str = ""
    """Of the answer, or of the label."""

    def fields(self, row: Any) -> Fields:
        """The fields of a row.

        Raises:
            UserError: it is not an object, or lacks a column.
        """
        if isinstance(row, list) and message_list(row):
            row = {"messages": row}
        if not isinstance(row, dict):
            raise UserError("a row must be an object with named fields")
        prompt, answer = ("text", "label") if self.example_type is Labeled else ("prompt", "completion")
        columns = {prompt: self.prompt_column, answer: self.answer_column}
        replaced = {"prompt": (*MESSAGES, *PROMPTS), "completion": ANSWERS, "text": TEXTS, "label": LABELS}
        return Fields(row, {name: column for name, column in columns.items() if column}, replaced)


def parse_example(row: Any, form: RowFormat | None = None, origin: str = "") -> Example:
    """The example in a row.

    Raises:
        UserError: its format is unknown, or a value is missing or cannot be used.
    """
    form = form or RowFormat()
    return parse_fields(form.fields(row), form, origin)


def parse_fields(fields: Fields, form: RowFormat, origin: str = "") -> Example:
    """The example in the fields of a row.

    Raises:
        UserError: its format is unknown, or a value is missing or cannot be used.
    """
    if form.example_type is Labeled and fields.has(TEXTS) and fields.has(LABELS):
        return _parse_labeled(fields, TEXTS, LABELS, origin)
    if fields.has(("chosen",)) and fields.has(("rejected",)):
        return _parse_preference(fields, origin)
    if _has_conversation(fields, form):
        verdict = fields.find(VERDICTS) if fields.has(VERDICTS) else None
        desirable = truth(verdict)
        if form.example_type is Judgment and fields.has(VERDICTS):
            if desirable is None:
                label = fields.describe_empty(VERDICTS) if verdict is None else repr(verdict)
                raise UserError(f"its label is {label}: kto needs true or false")
        elif not isinstance(verdict, bool) and str(verdict).casefold() not in ("true", "false"):
            desirable = None
        return _parse_conversation(fields, form, desirable, origin)
    if fields.has(("text",)) and fields.has(("label", "labels")):
        return _parse_labeled(fields, ("text",), ("label", "labels"), origin)
    plain = "; plain text is for --objective continued" if fields.has(("text",)) else ""
    raise UserError(
        f"its fields ({', '.join(fields.names)}) match no known format: use {FORMATS}, or name the columns with "
        f"--prompt-column and --answer-column{plain}"
    )


def _has_conversation(fields: Fields, form: RowFormat) -> bool:
    prompt = fields.has((*PROMPTS, "input"))
    return fields.has(MESSAGES) or (prompt and (fields.has(ANSWERS) or not form.answers_needed or bool(form.prompt_column)))


def _parse_conversation(fields: Fields, form: RowFormat, desirable: bool | None, origin: str) -> Example:
    tools = _parse_tools(fields)
    prompt = _parse_prompt(fields)
    messages = prompt
    answered = fields.find(MESSAGES) is not None or any(message["role"] == "assistant" for message in prompt)
    if fields.has(ANSWERS):
        answer = fields.find(ANSWERS)
        if answer is not None:
            messages = (*prompt, *parse_answer(answer, "answer"))
        elif form.answers_needed and not answered:
            raise UserError(f"its answer is {fields.describe_empty(ANSWERS)}: write one, or remove the row")
    check_conversation(messages, any_learned=form.answers_needed and desirable is None)
    if desirable is None:
        return Conversation(messages, tools, origin)
    _check_answer(messages, "conversation")
    return Judgment(messages, desirable, tools, origin)


def _parse_prompt(fields: Fields, names: Sequence[str] = MESSAGES) -> tuple[Message, ...]:
    """The messages before the answer, or all of them; `names` are those of a list of messages."""
    media = fields.find(MEDIA)
    if not is_empty(media) and media != []:
        raise UserError("it has images, sound or video, but only text is supported: remove the column or the row")
    system = fields.find(("system",))
    first = () if system is None else (text_message("system", system, "system message"),)
    if (rows := fields.find(names)) is not None:
        return (*first, *parse_messages(rows))
    question, addition = fields.find(PROMPTS), fields.find(INPUTS)
    if (rows := message_list(question)) is not None:
        return (*first, *parse_messages(rows, "prompt"))
    if fields.has(names) and not fields.has(PROMPTS):
        raise UserError(f"its messages are {fields.describe_empty(names)}: remove the row")
    if question is None and (addition is None or fields.has(PROMPTS)):
        state = f" (it is {fields.describe_empty(PROMPTS)})" if fields.has(PROMPTS) else ""
        raise UserError(f"there is no prompt{state}: add one, or `messages`")
    parts = [as_text(part, "prompt") for part in (question, addition) if part is not None]
    return (*first, *_parse_history(fields.find(("history",))), text_message("user", "\n".join(parts), "prompt"))


def _parse_history(value: Any) -> list[Message]:
    """Earlier turns: pairs of a question and its answer, or messages."""
    turns = parse_json(value) or []
    if not isinstance(turns, list):
        raise UserError("its history is not a list of pairs of a question and its answer")
    if turns and all(isinstance(turn, dict) for turn in turns):
        return list(parse_messages(turns, "history"))
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, list | tuple) or len(turn) != 2 or any(map(is_empty, turn)):
            raise UserError(
                "its history has a turn that is not a pair of a question and its answer, or one of them is empty"
            )
        messages += [text_message("user", turn[0], "history"), text_message("assistant", turn[1], "history")]
    return messages


def _parse_tools(fields: Fields) -> tuple[Mapping[str, Any], ...]:
    tools = fields.find(("tools", "functions"))
    return () if tools is None else parse_tools(tools)


def _parse_preference(fields: Fields, origin: str) -> Preference:
    tools = _parse_tools(fields)
    prompt: tuple[Message, ...] = ()
    # Some data sets repeat the chosen conversation as `messages`.
    names = () if fields.find(MESSAGES) == fields.find(("chosen",)) else MESSAGES
    if fields.has((*names, *PROMPTS)):
        prompt = _parse_prompt(fields, names)
    elif (system := fields.find(("system",))) is not None:
        prompt = (text_message("system", system, "system message"),)
    for side in ("chosen", "rejected"):
        if fields.find((side,)) is None:
            raise UserError(f"its {side} answer is {fields.describe_empty((side,))}: write one, or remove the row")
    chosen, rejected = (_whole_conversation(prompt, fields.find((side,)), side) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise UserError("the two conversations differ before their last answers: only the last answers may differ")
    if not any(message["role"] == "user" for message in chosen):
        raise UserError("there is no prompt: add one, or `messages`")
    check_conversation(chosen[:-1], any_learned=False)
    return Preference(chosen[:-1], chosen[-1], rejected[-1], tools, origin)


def _whole_conversation(prompt: tuple[Message, ...], value: Any, side: str) -> tuple[Message, ...]:
    """The prompt and the answer; an answer that begins with a question is a whole conversation, and repeats the prompt."""
    answer = parse_answer(value, f"{side} answer")
    if answer[0]["role"] in ("user", "system", "developer"):
        system = tuple(message for message in prompt if message["role"] == "system")
        prompt_messages, repeated = (_without_system(messages) for messages in (prompt, answer))
        if list(map(_spelling, repeated[: len(prompt_messages)])) != list(map(_spelling, prompt_messages)):
            raise UserError(
                f"its {side} conversation does not begin with its prompt: leave the prompt out, or give only the answers"
            )
        messages = answer if answer[0]["role"] == "system" else (*system, *answer)
    else:
        messages = (*prompt, *answer)
    _check_answer(messages, f"{side} conversation")
    return messages


def _check_answer(messages: Sequence[Message], name: str) -> None:
    """Raise UserError if the last message is not an answer to learn from."""
    last = messages[-1]
    if last["role"] != "assistant":
        raise UserError(f"its {name} ends with a message of the {last['role']}: end it with an answer")
    if not is_learned(last):
        raise UserError(f"its {name} ends with an answer of weight 0: remove the weight or the row")
    if is_empty(last["content"]) and not last.get("tool_calls"):
        raise UserError(f"its {name} ends with an empty answer: write one, or remove the row")


def _without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(message for message in messages if message["role"] != "system")


def _spelling(message: Message) -> tuple[str, str]:
    return message["role"], message["content"].strip()


def _parse_labeled(fields: Fields, text_names: Sequence[str], label_names: Sequence[str], origin: str) -> Labeled:
    text, value = fields.find(text_names), parse_label_list(fields.find(label_names))
    if text is None:
        raise UserError(f"its text is {fields.describe_empty(text_names)}: write one, or remove the row")
    if value is None:
        label = fields.describe_empty(label_names)
        raise UserError(f"its label is {label}: give a label, or an empty list of labels for a text without any")
    values = value if isinstance(value, list) else [value]
    if all(isinstance(item, int | float) and item in (0, 1) for item in values) and len(set(values)) < len(values):
        raise UserError(f"its labels {values!r:.100} are a 0 or 1 for each class: list the names of its classes instead")
    labels = [_label(label) for label in values]
    return Labeled(as_text(text, "text"), tuple(dict.fromkeys(labels)), origin)


def parse_label_list(value: Any) -> Any:
    """A label, or a list of labels, which a CSV file holds as JSON or in Python's spelling."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    if isinstance(parsed := parse_json(value), list):
        return parsed
    try:
        literal = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return literal if isinstance(literal, list) else value


def _label(value: Any) -> str:
    if is_empty(value):
        raise UserError(f"one of its labels is {describe_empty(value)}: remove the label or the row")
    if isinstance(value, WholeNumberCell):
        return value.whole()
    return str(value) if isinstance(value, bool) else as_text(value, "label").strip()
