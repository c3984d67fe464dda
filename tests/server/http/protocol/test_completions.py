"""Request bodies of /v1/completions, and the prompts that they share with embeddings."""

from typing import Any

import pytest
from pydantic import ValidationError

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.completions import CompletionRequest, as_prompt_list


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"prompt": "a", **fields})


@pytest.mark.parametrize(
    ("prompt", "prompts"), [("a", ["a"]), ([1, 2], [[1, 2]]), (["a", "b"], ["a", "b"]), ([[1], [2]], [[1], [2]])]
)
def test_a_prompt_is_a_text_or_tokens_or_a_list_of_them(prompt: Any, prompts: list[Any]) -> None:
    assert as_prompt_list(completion(prompt=prompt).prompt) == prompts


@pytest.mark.parametrize("prompt", [[], [[]], [-1], [2**31], ["a", 1], {"a": 1}])
def test_other_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(ValidationError):
        completion(prompt=prompt)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"best_of": 2}, "best_of=2 is not supported"),
        ({"max_tokens": 0}, "max_tokens=0 generates nothing"),
        ({"suffix": "b", "echo": True}, "echo=true does not work with suffix"),
        ({"echo": True, "logprobs": 1, "stream": True}, "cannot be streamed"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        completion(**fields).check()
    completion(best_of=2, n=2).check()
    completion(max_tokens=0, echo=True).check()
