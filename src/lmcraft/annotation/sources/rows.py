"""The item in a row of a table.

| a row has | is judged |
|---|---|
| `text` and `decision` (a decision record of a server or a filter) | the text, at the stage of the decision |
| `answers`, and optionally `messages` and `subject` (as the store has items) | the answers |
| `answer_a` and `answer_b` (or `response_a`, ...; `chosen` and `rejected`), and a prompt or `messages` | the two answers |
| a prompt and an answer, or `messages` that end with an answer | the last answer |
| a prompt alone (an answer of null is none), or `messages` that end with a question | the prompt |
| `text` | a document |

An answer that is empty or blank is malformed: there is nothing to cite a rule about, and it must not turn its question
into what is judged.

Names of columns are those of training examples (`finetuning/rows.py`). Optional columns: `traffic`, `severity`,
`uncertainty`, `language`, and `expected` with `label` and `rule`, which makes a gold item.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from lmcraft.annotation.agreement.gold import ExpectedVerdict, check_expected
from lmcraft.annotation.guidelines.guideline import SUBJECTS, Guideline, Subject
from lmcraft.annotation.records import NewItem, Source
from lmcraft.annotation.sources.decisions import weigh_decision
from lmcraft.data.formats import lookup
from lmcraft.data.missing import is_empty
from lmcraft.data.value_kinds import describe_value
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation, Judgment, Labeled, Preference, answer_text
from lmcraft.finetuning.messages import Message, parse_messages
from lmcraft.finetuning.row_fields import Fields, as_text, parse_json
from lmcraft.finetuning.rows import ANSWERS, MESSAGES, PROMPTS, RowFormat, parse_fields

PAIRS = (("answer_a", "answer_b"), ("response_a", "response_b"), ("answer_1", "answer_2"), ("first", "second"))
STAGE_SUBJECTS: Mapping[str, Subject] = {"training": "document", "prompt": "prompt", "answer": "answer"}
TEXT = "text"  # the field of texts, unless the user names another
FORMATS = "text; prompt and answer; messages; answer_a and answer_b; chosen and rejected; text and decision"
MAX_GROUP_CHARS = 200
ORIGIN_FIELDS = {"file": str, "line": int}  # of a document before it was listed


@dataclass(frozen=True)
class ItemFormat:
    """How rows become items."""

    guideline: Guideline
    source: Source = "file"
    subject: Subject | None = None
    """What the text of a row is; None: as the row has it."""
    text_field: str = TEXT
    group_field: str = ""
    """The field that has the group of a row, for a sample; empty: rows have no groups."""
    gold: bool = False
    """Every row needs the verdict that is known to be right, as `expected`, or in its columns `label` and `rule`."""


def item_of_row(row: Any, form: ItemFormat, file: str, line: int) -> NewItem:
    """The item in a row.

    Args:
        row: as a table has it.
        form: how to read it.
        file: its file.
        line: its number in the file, from 1.

    Raises:
        UserError: its format is unknown, or a value is missing or cannot be used.
    """
    if isinstance(row, str):
        row = {form.text_field: row}
    if not isinstance(row, Mapping):
        raise UserError(f"it is {describe_value(row)}, not an object with named fields")
    row = {str(name).strip(): value for name, value in row.items()}
    if not row:
        raise UserError("it is empty: remove the row")
    decision = parse_json(row.get("decision"))
    decision = decision if isinstance(decision, Mapping) else None
    subject, messages, answers = _content(row, decision, form)
    number = 2 if form.guideline.kind == "preference" else 1
    if len(answers) != number:
        held = "one answer" if len(answers) == 1 else f"{len(answers)} answers"
        needed = "two answers" if number == 2 else "one"
        raise UserError(f"it has {held}, but guideline '{form.guideline.name}' judges {needed}: use another guideline")
    if any(is_empty(answer) for answer in answers):
        raise UserError("what is to be judged is empty: write it, or remove the row")
    severity, uncertainty = weigh_decision(decision) if decision is not None else (0.0, 0.0)
    origin: dict[str, Any] = {"file": file, "line": line}
    inner = parse_json(row.get("origin"))
    if isinstance(inner, Mapping):  # a document of a preparation: where it was before
        before = {name: inner[name] for name, kind in ORIGIN_FIELDS.items() if isinstance(inner.get(name), kind)}
        origin = {**origin, **before, "listed_in": f"{file}:{line}"}
    if not is_empty(row.get("language")):
        origin["language"] = as_text(row["language"], "language")[:MAX_GROUP_CHARS]
    if form.group_field:
        origin["group"] = group_of_row(row, form.group_field)
    return NewItem(
        guideline=form.guideline.name,
        answers=answers,
        source=form.source,
        subject=subject,
        messages=messages,
        severity=_share(row, "severity", severity),
        uncertainty=_share(row, "uncertainty", uncertainty),
        traffic=_traffic(row),
        decision=decision,
        origin=origin,
        expected=_expected(row, form),
    )


def group_of_row(row: Mapping[str, Any], field: str) -> str:
    """The group of a row, in a field such as `category` or `meta.source`.

    Raises:
        UserError: there is none.
    """
    try:
        value = lookup(row, field)
    except KeyError as error:
        raise UserError(f"it has no column '{field}', which has its group: its columns are {', '.join(row)}") from error
    if is_empty(value):
        raise UserError(f"its {field} is empty, so its group is not known: write it")
    return as_text(value, field).strip()[:MAX_GROUP_CHARS]


def _content(
    row: Mapping[str, Any], decision: Mapping[str, Any] | None, form: ItemFormat
) -> tuple[Subject, Sequence[Mapping[str, str]], Sequence[str]]:
    """What is judged, the messages before it, and the answers."""
    fields = Fields(row)
    if decision is not None and not is_empty(row.get("text")):
        subject = form.subject or STAGE_SUBJECTS.get(str(decision.get("stage")), "document")
        return subject, _messages(fields), [as_text(row["text"], "text")]
    if fields.has(("answers",)) and isinstance(answers := parse_json(fields.find(("answers",))), list):
        given = form.subject or row.get("subject") or "answer"
        if given not in SUBJECTS:
            raise UserError(f"its subject {given!r:.64} is unknown: use {', '.join(SUBJECTS)}")
        return cast(Subject, given), _messages(fields), [as_text(answer, "answer") for answer in answers]
    for pair in PAIRS:
        if all(fields.has((name,)) for name in pair):
            if empty := [name for name in pair if fields.find((name,)) is None]:
                raise UserError(f"its {empty[0]} is {fields.describe_empty(empty)}: write it, or remove the row")
            answers = [as_text(fields.find((name,)), name) for name in pair]
            return "answer", _messages(fields), answers
    texts = _texts(row, form)
    if not texts and form.subject != "prompt":
        _check_answer(row, fields)
    if not texts:
        return _example_content(fields, form)
    if form.text_field == TEXT and fields.has((*MESSAGES, *PROMPTS)) and not fields.has(ANSWERS):
        raise UserError(
            "it has a prompt and a text, so it is not clear what is judged: name the text answer, or leave one out"
        )
    if form.text_field == TEXT and fields.has((*MESSAGES, *PROMPTS, "chosen")):
        return _example_content(fields, form)
    messages = _messages(fields)
    return form.subject or ("answer" if messages else "document"), messages, [as_text(texts[0], form.text_field)]


def _check_answer(row: Mapping[str, Any], fields: Fields) -> None:
    """Raise UserError if the only answers are empty texts, which does not mean that the prompt is judged."""
    empty = [name for name, value in row.items() if name.casefold() in ANSWERS and value is not None and is_empty(value)]
    if empty and fields.find(ANSWERS) is None:
        description = fields.describe_empty([name.casefold() for name in empty])
        raise UserError(f"its {empty[0]} is {description}: write it, or remove the row, or judge prompts (--subject prompt)")


def _texts(row: Mapping[str, Any], form: ItemFormat) -> list[Any]:
    """The value of the field of texts; none if there is no such field.

    Raises:
        UserError: the user named a field that the row lacks.
    """
    try:
        return [lookup(row, form.text_field)]
    except KeyError as error:
        if form.text_field != TEXT:
            raise UserError(f"it has no column '{form.text_field}': its columns are {', '.join(row)}") from error
        return []


def _example_content(fields: Fields, form: ItemFormat) -> tuple[Subject, Sequence[Mapping[str, str]], Sequence[str]]:
    """The content of a row that could be a training example."""
    try:
        example = parse_fields(fields, RowFormat(answers_needed=False))
    except UserError as error:
        if "match no known format" not in str(error):
            raise
        names = ", ".join(fields.names)
        raise UserError(f"its columns ({names:.200}) match no known format: use {FORMATS}") from error
    match example:
        case Preference(prompt=prompt, chosen=chosen, rejected=rejected):
            return "answer", _plain(prompt), [answer_text(chosen), answer_text(rejected)]
        case Conversation(messages=messages) | Judgment(messages=messages):
            *context, last = messages
            subject: Subject = "answer" if last["role"] == "assistant" else "prompt"
            if form.subject == "answer" and subject == "prompt":
                raise UserError("it has a question without an answer, but answers are judged: add the answer")
            return subject, _plain(context), [answer_text(last)]
        case Labeled(text=text):
            return form.subject or "document", [], [text]


def _messages(fields: Fields) -> list[Mapping[str, str]]:
    """The messages before the answers: a list, or a prompt; none if there is neither."""
    if (rows := fields.find(MESSAGES)) is not None and parse_json(rows) != []:
        return _plain(parse_messages(rows))
    if (prompt := fields.find(PROMPTS)) is not None:
        rows = parse_json(prompt)
        return (
            _plain(parse_messages(rows))
            if isinstance(rows, list)
            else [{"role": "user", "content": as_text(prompt, "prompt")}]
        )
    return []


def _plain(messages: Sequence[Message]) -> list[Mapping[str, str]]:
    return [{"role": str(message["role"]), "content": answer_text(message)} for message in messages]


def _share(row: Mapping[str, Any], name: str, default: float) -> float:
    value = row.get(name)
    if is_empty(value):
        return default
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, it is told below
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= 1:
        raise UserError(f"its {name} is {value!r:.64}: use a number from 0 to 1")
    return number


def _traffic(row: Mapping[str, Any]) -> int:
    value = row.get("traffic")
    if is_empty(value):
        return 1
    try:
        number = int(as_text(value, "traffic"))
    except ValueError:
        number = 0
    if not 1 <= number <= 10**12:
        raise UserError(f"its traffic is {value!r:.64}: use a whole number from 1")
    return number


def _expected(row: Mapping[str, Any], form: ItemFormat) -> ExpectedVerdict | None:
    """The verdict that is known to be right, of a gold item."""
    value = parse_json(row.get("expected"))
    if form.gold and is_empty(value):
        value = {"label": row.get("label"), "rule": row.get("rule")}
        if is_empty(value["label"]):
            raise UserError("it has no label, so it cannot be a gold item: write label and rule")
    if is_empty(value):
        return None
    if isinstance(value, str):
        value = {"label": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("label"), str):
        raise UserError('its expected verdict has no label: write {"label": "...", "rule": "..."}')
    expected = ExpectedVerdict(value["label"], str(value.get("rule") or ""))
    check_expected(expected, form.guideline)
    return expected
