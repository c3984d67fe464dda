"""The request body of /v1/lens."""

import pytest
from pydantic import ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.lens import MAX_CHOICES, LensRequest

MESSAGES = [{"role": "user", "content": "a"}]


def test_there_is_a_prompt_or_messages() -> None:
    for body in ({"prompt": ""}, {"prompt": [1]}, {"messages": MESSAGES}):
        LensRequest.model_validate(body).check()
    for body in ({}, {"prompt": "a", "messages": MESSAGES}):
        with pytest.raises(ApiError, match="either prompt or messages"):
            LensRequest.model_validate(body).check()
    assert LensRequest.model_validate({"messages": MESSAGES}).as_chat().messages[0].text() == "a"


@pytest.mark.parametrize(
    "fields", [{"target": -1}, {"token_ids": ["a"]}, {"top_logprobs": 0}, {"top_logprobs": MAX_CHOICES + 1}], ids=str
)
def test_ids_and_counts_are_bounded(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LensRequest.model_validate({"prompt": "a", **fields})
