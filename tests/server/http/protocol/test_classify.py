"""Request bodies of /v1/classify and /v1/moderations."""

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.classify import ClassifyRequest, ModerationRequest


@pytest.mark.parametrize("labels", [[], ["one"], ["", "b"], ["x"] * 65])
def test_there_are_two_to_64_labels(labels: list[str]) -> None:
    assert ClassifyRequest.model_validate({"input": "a", "labels": ["x", "y"]}).labels == ["x", "y"]
    with pytest.raises(ValidationError):
        ClassifyRequest.model_validate({"input": "a", "labels": labels})


@pytest.mark.parametrize("request_type", [ClassifyRequest, ModerationRequest])
def test_the_input_is_bounded(request_type: type[ClassifyRequest] | type[ModerationRequest]) -> None:
    assert request_type.model_validate({"input": ["a", "b"]}).input == ["a", "b"]
    for texts in ([], ["a"] * 257, "a" * 1_000_001, 5):
        with pytest.raises(ValidationError):
            request_type.model_validate({"input": texts})
