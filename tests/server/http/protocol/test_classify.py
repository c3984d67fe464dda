"""Request bodies of /v1/classify."""

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.classify import ClassifyRequest


@pytest.mark.parametrize("labels", [[], ["one"], ["", "b"], ["x"] * 65])
def test_there_are_two_to_64_labels(labels: list[str]) -> None:
    assert ClassifyRequest.model_validate({"input": "a", "labels": ["x", "y"]}).labels == ["x", "y"]
    with pytest.raises(ValidationError):
        ClassifyRequest.model_validate({"input": "a", "labels": labels})


def test_the_input_is_bounded() -> None:
    assert ClassifyRequest.model_validate({"input": ["a", "b"]}).input == ["a", "b"]
    for texts in ([], ["a"] * 257, "a" * 1_000_001, 5):
        with pytest.raises(ValidationError):
            ClassifyRequest.model_validate({"input": texts})
