"""The content of an item: checked, as JSON, with the hash that tells equal contents, and in the order that people see."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.annotation.guidelines.guideline import SUBJECTS, Guideline
from lmcraft.annotation.records import SOURCES, NewItem
from lmcraft.database import check_text, replace_invalid
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json, is_deeper

MAX_TEXT_CHARS = 1_000_000  # of one message or answer
MAX_CONTENT_CHARS = 2_000_000  # of all of them
MAX_MESSAGES = 1_000
MAX_ROLE_CHARS = 32
MAX_RECORD_CHARS = 1_000_000  # of JSON: a decision, an origin
MAX_RECORD_DEPTH = 16
MAX_TRAFFIC = 10**12
EXCERPT_CHARS = 200
ID_DIGITS = 32
SWAPPED_LABELS = {"first": "second", "second": "first"}
NUM_ANSWERS = {"label": 1, "preference": 2}


@dataclass(frozen=True)
class Content:
    """What the store keeps of an item's content."""

    sha256: str
    """Of the guideline's name and the content."""
    text: str
    """JSON: subject, messages, answers."""
    excerpt: str
    decision: str
    """JSON; "null": none."""
    origin: str

    @property
    def id(self) -> str:
        """The item's id."""
        return self.sha256[:ID_DIGITS]


def check_content(item: NewItem, guideline: Guideline) -> Content:
    """The content of a new item. NUL and halves of surrogate pairs, which no database can hold, become U+FFFD.

    Raises:
        UserError: it does not fit the guideline, is too long, or a number is out of range.
    """
    if item.source not in SOURCES:
        raise UserError(f"source={str(item.source)[:64]!a} is unknown; use one of {', '.join(SOURCES)}")
    if item.subject not in SUBJECTS:
        raise UserError(f"subject={str(item.subject)[:64]!a} is unknown; use one of {', '.join(SUBJECTS)}")
    _check_numbers(item)
    answers = [_text("answer", answer) for answer in _list("answers", item.answers)]
    if len(answers) != (number := NUM_ANSWERS[guideline.kind]):
        message = f"an item of guideline '{guideline.name}' has {len(answers)} answers; a {guideline.kind} needs {number}"
        raise UserError(message)
    messages = [_message(message) for message in _list("messages", item.messages)]
    if len(messages) > MAX_MESSAGES:
        raise UserError(f"an item has {len(messages):,} messages; give at most {MAX_MESSAGES:,}")
    num_chars = sum(map(len, answers)) + sum(len(message["content"]) for message in messages)
    if num_chars > MAX_CONTENT_CHARS:
        raise UserError(f"an item has {num_chars:,} characters; give at most {MAX_CONTENT_CHARS:,}", code="text_too_long")
    content = {"subject": item.subject, "messages": messages, "answers": answers}
    return Content(
        sha256=content_sha256(item.guideline, content),
        text=format_json(content),
        excerpt=" ".join(" | ".join(answer[: 2 * EXCERPT_CHARS] for answer in answers).split())[:EXCERPT_CHARS],
        decision=_record("decision", item.decision),
        origin=_record("origin", item.origin),
    )


def content_sha256(guideline: str, content: Mapping[str, Any]) -> str:
    """The hash of a content under a guideline; `content` has subject, messages and answers."""
    identity = [guideline, content["subject"], content["messages"], content["answers"]]
    return hashlib.sha256(format_json(identity).encode()).hexdigest()


def is_swapped(reviewer: str, item: str) -> bool:
    """Whether a person sees the two answers in reverse order, which keeps position bias out of the verdicts."""
    return bool(hashlib.sha256(f"{item}\n{reviewer}".encode()).digest()[0] & 1)


def shown_answers(answers: Sequence[str], *, swapped: bool) -> list[str]:
    """Answers in the order in which a person sees them."""
    return list(reversed(answers)) if swapped else list(answers)


def map_label(label: str, *, swapped: bool) -> str:
    """The label of a preference for the answers in their other order; the mapping is its own inverse."""
    return SWAPPED_LABELS.get(label, label) if swapped else label


def _check_numbers(item: NewItem) -> None:
    for name, value in (("severity", item.severity), ("uncertainty", item.uncertainty)):
        if not (isinstance(value, int | float) and math.isfinite(value) and 0.0 <= value <= 1.0):
            raise UserError(f"{name}={value!r:.64} is invalid; use a number between 0 and 1")
    if not (isinstance(item.traffic, int) and not isinstance(item.traffic, bool) and 1 <= item.traffic <= MAX_TRAFFIC):
        raise UserError(f"traffic={item.traffic!r:.64} is invalid; use a whole number between 1 and {MAX_TRAFFIC:,}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} of an item is {type(value).__name__}; give a text")
    return check_text(name, replace_invalid(value), MAX_TEXT_CHARS)


def _list(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"{name} of an item is {type(value).__name__}; give a list")
    return value


def _message(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not {"role", "content"} <= value.keys():
        raise UserError('a message of an item needs the fields "role" and "content"; give both as texts')
    role = check_text("role", _text("role", value["role"]), MAX_ROLE_CHARS)
    return {"role": role, "content": _text("message", value["content"])}


def _record(name: str, value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "null"
    if is_deeper(value, MAX_RECORD_DEPTH):
        raise UserError(f"{name} of an item is nested more than {MAX_RECORD_DEPTH} levels deep; flatten it")
    try:
        text = format_json(_clean(value))
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} of an item is not JSON ({error}); use texts, numbers, lists and objects") from error
    if len(text) > MAX_RECORD_CHARS:
        raise UserError(f"{name} of an item has {len(text):,} characters of JSON; give at most {MAX_RECORD_CHARS:,}")
    return text


def _clean(value: Any) -> Any:
    """JSON without the characters that cannot be stored."""
    if isinstance(value, str):
        return replace_invalid(value)
    if isinstance(value, Mapping):
        return {replace_invalid(str(name)): _clean(element) for name, element in value.items()}
    return [_clean(element) for element in value] if isinstance(value, list | tuple) else value
