"""Conversions between values and table rows."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.server.conversations.rows import (
    check_edit,
    check_versions,
    conversation_json,
    conversation_row,
    message_json,
    message_row,
)

ANSWER: dict[str, Any] = {"id": "1", "conversation": "c", "parent": "q", "role": "assistant"}


def test_a_conversation_row_leaves_out_missing_values() -> None:
    assert conversation_row({"title": "Sky", "settings": {"seed": 1}}) == {"title": "Sky", "settings": '{"seed":1}'}
    row = {**conversation_row({"settings": {"seed": 1}}), "id": "1", "title": "", "system": "", "model": "", "leaf": None}
    conversation = conversation_json({**row, "pinned": False, "pair": "[]", "created": 1.0, "updated": 2.0, "owner": "ann"})
    assert conversation["settings"] == {"seed": 1} and "owner" not in conversation


def test_a_message_row_has_defaults_and_returns_its_details() -> None:
    row = message_row({"role": "assistant", "content": "because"})
    assert (row["model"], row["details"], row["rating"], row["reason"]) == ("", "{}", 0, "")
    stored = {**row, "id": "1", "parent": None, "edited_from": None, "created": 1.0, "conversation": "c", "position": 3}
    message = message_json(stored)
    assert message["details"] == {} and not {"position", "conversation"} & message.keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"role": "system"}, "role='system' is not supported; use 'user' or 'assistant'"),
        ({"role": "assistant", "rating": 2}, "rating=2 is invalid; use 1, -1 or 0"),
        ({"role": "user", "rating": 1}, "rating=1 is for a user message"),
    ],
)
def test_roles_and_ratings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        message_row({"content": "", **values})


def test_an_edit_has_the_parent_of_its_original() -> None:
    check_edit({**ANSWER, "id": "2"}, ANSWER)
    for change in ({"parent": "other"}, {"role": "user"}):
        with pytest.raises(UserError, match="edited_from must name an assistant message"):
            check_edit({**ANSWER, **change}, ANSWER)


def test_a_preference_is_between_two_answers_to_one_prompt() -> None:
    check_versions("pair", {**ANSWER, "id": "2"}, ANSWER)
    for change in ({}, {"id": "2", "parent": "other"}, {"id": "2", "conversation": "d"}, {"id": "2", "role": "user"}):
        with pytest.raises(UserError, match="chosen and rejected must name two assistant messages"):
            check_versions("chosen and rejected", {**ANSWER, **change}, ANSWER)
