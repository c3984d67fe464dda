"""Request bodies of /v1/embeddings."""

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.embeddings import EmbeddingRequest


@pytest.mark.parametrize(
    "fields", [{}, {"input": []}, {"input": "a", "dimensions": 0}, {"input": "a", "encoding_format": "x"}]
)
def test_invalid_requests(fields: dict[str, object]) -> None:
    assert EmbeddingRequest.model_validate({"input": ["a"]}).encoding_format == "float"
    with pytest.raises(ValidationError):
        EmbeddingRequest.model_validate(fields)
