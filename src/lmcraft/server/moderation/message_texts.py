"""The texts of a request that the policy judges: a model reads the parts of a message as one text."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from lmcraft.moderation.decision import REDACTION

SEPARATORS = ("", "\n")
"""What templates and engines put between the parts of a message."""
Parts = tuple[str, ...]
STRUCTURAL_KEYS = frozenset(
    {
        "call_id", "created", "encrypted_content", "event", "finish_reason", "id", "index", "item_id", "model", "name",
        "obfuscation", "object", "previous_response_id", "role", "service_tier", "signature", "status", "stop_reason",
        "stop_sequence", "system_fingerprint", "tool_call_id", "tool_use_id", "type",
    }
)  # fmt: skip
"""Their values are no texts that people or a model wrote."""


@dataclass(frozen=True)
class MessageText:
    """A text in the parts in which a client sent it."""

    parts: Parts
    is_fixed: bool = False
    """Nothing can take the place of its passages, as in the name of a tool; it is refused instead."""

    @property
    def separators(self) -> tuple[str, ...]:
        """What may stand between the parts when a model reads them."""
        return SEPARATORS if len(self.parts) > 1 else SEPARATORS[:1]


def fixed_text(value: Any) -> list[MessageText]:
    """All strings of a JSON value, also its names, as one text that cannot be redacted; none if it has no strings."""
    text = "\n".join(_strings(value))
    return [MessageText((text,), is_fixed=True)] if text.strip() else []


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def message_texts(value: Any) -> Iterator[MessageText]:
    """The texts in a message or another JSON value; the parts of a list are one text."""
    if isinstance(value, list):
        if parts := tuple(str(item[key]) for item in value if (key := part_key(item))):
            yield MessageText(parts)
        for item in value:
            if isinstance(item, str):
                yield MessageText((item,))
            elif isinstance(item, Mapping) and (key := part_key(item)):
                yield from message_texts({name: inner for name, inner in item.items() if name != key})
            else:
                yield from message_texts(item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in STRUCTURAL_KEYS:
                yield from message_texts([item])


def join_passages(parts: Sequence[str], passages: Iterable[tuple[int, int]], separator: str) -> list[tuple[int, int]]:
    """Passages of a text whose parts have a separator between them, as passages of the text without separators."""
    starts = list(accumulate((len(part) + len(separator) for part in parts), initial=0))
    lengths = list(accumulate(map(len, parts), initial=0))

    def position_of(position: int) -> int:
        number = bisect_right(starts, position, hi=len(parts)) - 1
        return lengths[number] + min(position - starts[number], len(parts[number]))

    joined = [(position_of(start), position_of(end)) for start, end in passages]
    return [(start, end) for start, end in joined if start < end]


def redact_parts(parts: Sequence[str], passages: Sequence[tuple[int, int]]) -> Parts:
    """The parts without passages of the text that they make; `REDACTION` stands where a passage begins.

    Args:
        parts: of the text.
        passages: in order and without overlaps, in characters of the text.
    """
    released, begin = [], 0
    for part in parts:
        text, position = "", 0
        for start, end in passages:
            first, last = max(start - begin, 0), min(end - begin, len(part))
            if first < last:
                text += part[position:first] + (REDACTION if start >= begin else "")
                position = last
        released.append(text + part[position:])
        begin += len(part)
    return tuple(released)


def part_key(item: Any) -> str:
    """The field that has the text of a part of a message; "" if it is none."""
    if not isinstance(item, Mapping) or "role" in item:
        return ""
    return next((key for key in ("text", "refusal") if isinstance(item.get(key), str)), "")


def replace_texts(value: Any, replacements: Mapping[Parts, Parts]) -> Any:
    """A JSON value in which some texts, each in its parts, are replaced by others."""
    if isinstance(value, str):
        return replacements.get((value,), (value,))[0]
    if isinstance(value, Mapping):
        return {key: replace_texts(item, replacements) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    parts = tuple(str(item[key]) for item in value if (key := part_key(item)))
    others = iter(_replace_parts(parts, replacements))
    return [
        {name: next(others) if name == key else replace_texts(inner, replacements) for name, inner in item.items()}
        if (key := part_key(item))
        else replace_texts(item, replacements)
        for item in value
    ]


def _replace_parts(parts: Parts, replacements: Mapping[Parts, Parts]) -> Parts:
    if parts in replacements:
        return replacements[parts]
    if len(parts) > 1 and (whole := replacements.get(("".join(parts),))):  # some endpoints join parts before they are judged
        return (*whole, *[""] * (len(parts) - 1))
    return parts
