"""Request bodies of /v1/moderations."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.moderations import ModerationRequest


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["a\nb"]),
    ],
)
def test_there_is_a_result_for_each_text(texts: Any, expected: list[str]) -> None:
    body = ModerationRequest.model_validate({"input": texts, "model": "omni-moderation-latest"})
    assert body.texts() == expected and body.stage == "answer"


@pytest.mark.parametrize("texts", [[], ["a"] * 257, "a" * 1_000_001, 5, [{"type": "image_url", "image_url": {}}]])
def test_the_input_is_bounded_and_text(texts: Any) -> None:
    with pytest.raises(ValidationError):
        ModerationRequest.model_validate({"input": texts})
