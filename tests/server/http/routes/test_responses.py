"""OpenAI's newer endpoint through its client."""

import openai
import pytest


def test_responses(client: openai.OpenAI) -> None:
    request = {"model": "tiny", "input": [{"role": "user", "content": "the fox"}], "instructions": "Be brief."}
    response = client.responses.create(**request, max_output_tokens=8, temperature=0)
    events = list(client.responses.create(**request, max_output_tokens=8, temperature=0, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == response.output_text
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.usage == response.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(openai.BadRequestError, match="previous_response_id' is not supported"):
        client.responses.create(**request, previous_response_id="resp_1")
