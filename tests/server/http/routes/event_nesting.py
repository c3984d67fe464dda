"""Checks that the events of a response's stream open and close what they belong to, as OpenAI's clients expect."""

from typing import Any

PAIRS = {
    "response.output_item.done": "response.output_item.added",
    "response.content_part.done": "response.content_part.added",
    "response.output_text.done": "response.output_text.delta",
    "response.refusal.done": "response.refusal.delta",
    "response.function_call_arguments.done": "response.function_call_arguments.delta",
}
"""What an event closes."""
LAST = ("response.completed", "response.incomplete")


def check_nesting(events: list[Any]) -> None:
    """The events are numbered, begin and end as a response does, and each names the item and the part that is open."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type in LAST and sum(event.type in LAST for event in events) == 1
    assert events[0].response.id == events[-1].response.id and events[0].response.status == "in_progress"
    opened: list[str] = []
    item_id, index = "", -1
    for event in events[2:-1]:
        if event.type == "response.output_item.added":
            assert event.output_index == index + 1 and event.item.status == "in_progress"
            item_id, index = event.item.id, event.output_index
        assert event.output_index == index
        assert (event.item.id if hasattr(event, "item") else event.item_id) == item_id
        if event.type in PAIRS:
            if event.type == "response.output_text.done" and opened[-1] != PAIRS[event.type]:
                assert event.text == ""  # a text without any delta
                continue
            assert opened.pop() == PAIRS[event.type]
        elif not (event.type.endswith(".delta") and opened[-1] == event.type):
            opened.append(event.type)
        if event.type == "response.output_item.done":
            assert event.item == events[-1].response.output[index]
    assert not opened and index == len(events[-1].response.output) - 1
