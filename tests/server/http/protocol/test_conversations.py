"""Bodies of the conversation endpoints."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lmcraft.server.http.protocol.conversations import ExportFile, ImportBody, NewMessage

EXPORT = {"format": "lmcraft-conversations", "version": 1, "conversations": []}
IMPORT: TypeAdapter[Any] = TypeAdapter(ImportBody)


def test_null_means_the_same_as_leaving_a_field_out() -> None:
    body = NewMessage.model_validate({"role": "user", "content": "", "model": None, "parent": "1"})
    assert body.set_fields() == {"role": "user", "content": "", "parent": "1"}
    with pytest.raises(ValidationError, match="frozen"):
        body.content = "x"


def test_an_import_is_an_export_or_a_list_of_transcripts() -> None:
    message = {"id": "1", "role": "user", "content": "x", "created": None}
    export = IMPORT.validate_python({**EXPORT, "conversations": [{"messages": [message], "title": None}]})
    assert isinstance(export, ExportFile)
    assert export.conversations[0].set_fields() == {
        "messages": [{"id": "1", "role": "user", "content": "x", "rating": 0, "reason": ""}]
    }
    [transcript] = IMPORT.validate_python([{"messages": [{"role": "system", "content": "x"}]}])
    assert transcript.messages[0].role == "system"
    for invalid in ({}, {**EXPORT, "version": 2}, [{"messages": []}], "words"):
        with pytest.raises(ValidationError):
            IMPORT.validate_python(invalid)
