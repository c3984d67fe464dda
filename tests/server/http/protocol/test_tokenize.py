"""Request bodies of /tokenize and /detokenize."""

import pytest
from pydantic import ValidationError

from lmcraft.server.http.protocol.tokenize import DetokenizeRequest, TokenizeRequest


def test_tokens_are_ids_and_messages_are_bounded() -> None:
    for tokens in ([0, 5], []):
        assert DetokenizeRequest.model_validate({"tokens": tokens}).tokens == tokens
    for wrong in ([-1], [2**31], ["a"], None):
        with pytest.raises(ValidationError):
            DetokenizeRequest.model_validate({"tokens": wrong})
    assert TokenizeRequest.model_validate({"prompt": ""}).add_special_tokens
    with pytest.raises(ValidationError):
        TokenizeRequest.model_validate({"messages": []})
