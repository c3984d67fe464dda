"""OpenAI's newer endpoint through its client.

The cases follow what vLLM demands of its own endpoint (tests/entrypoints/openai/responses). Left out, because the server
has no such feature: responses in the background, reasoning parsers and Harmony, MCP and built-in tools, images, WebSockets.
"""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.server.http.keys import Keys
from tests.server.http.routes.event_nesting import check_nesting
from tests.server.tiny_server import running

LIMIT: dict[str, Any] = {"model": "tiny", "max_output_tokens": 8, "temperature": 0}
COUNT = {
    "type": "function",
    "name": "count",
    "parameters": {
        "type": "object",
        "properties": {"n": {"enum": [1, 2]}},
        "required": ["n"],
        "additionalProperties": False,
    },
}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_a_stream_has_the_same_answer(client: openai.OpenAI) -> None:
    request = {**LIMIT, "input": [user("the fox")], "instructions": "Be brief."}
    response = client.responses.create(**request)
    events = list(client.responses.create(**request, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == response.output_text
    assert events[-1].type == f"response.{response.status}" and events[-1].response.usage == response.usage
    assert events[-1].response.output[0].content == response.output[0].content
    check_nesting(events)


def test_a_stream_has_no_done(client: openai.OpenAI) -> None:
    body = {**LIMIT, "input": "the fox", "stream": True}
    text = httpx.post(f"{client.base_url}responses", json=body).text
    assert "[DONE]" not in text and text.count("event: response.created\n") == 1


def test_a_response_repeats_the_request(client: openai.OpenAI) -> None:
    request = {**LIMIT, "input": "hi", "metadata": {"a": "b"}, "tools": [COUNT], "tool_choice": "none", "top_p": 0.5}
    response = client.responses.create(**request, truncation="auto", user="ann", store=False)
    assert (response.metadata, response.tool_choice, response.top_p) == ({"a": "b"}, "none", 0.5)
    assert (response.temperature, response.max_output_tokens, response.truncation) == (0, 8, "auto")
    assert response.tools[0].name == "count" and response.user == "ann" and response.parallel_tool_calls
    assert response.id.startswith("resp_") and response.error is None and response.previous_response_id is None


def test_the_length_ends_a_response(client: openai.OpenAI) -> None:
    response = client.responses.create(**LIMIT, input="the fox")
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"
    assert response.usage.output_tokens == 8 and response.usage.total_tokens == response.usage.input_tokens + 8


def test_logprobs(client: openai.OpenAI) -> None:
    request = {**LIMIT, "input": "the fox", "top_logprobs": 3, "include": ["message.output_text.logprobs"]}
    part = client.responses.create(**request).output[0].content[0]
    assert len(part.logprobs) == 8 and all(len(entry.top_logprobs) == 3 for entry in part.logprobs)
    events = list(client.responses.create(**request, stream=True))
    streamed = [entry for e in events if e.type == "response.output_text.delta" for entry in e.logprobs]
    assert [entry.token for entry in streamed] == [entry.token for entry in part.logprobs]
    assert client.responses.create(**LIMIT, input="the fox").output[0].content[0].logprobs == []


def test_output_is_valid_input(client: openai.OpenAI) -> None:
    conversation: list[Any] = [user("the fox")]
    for stream in (False, True):
        if stream:
            response = list(client.responses.create(**LIMIT, input=conversation, stream=True))[-1].response
        else:
            response = client.responses.create(**LIMIT, input=conversation)
        conversation += [*response.output, *(item.model_dump() for item in response.output), user("more")]
    counted = client.responses.input_tokens.count(model="tiny", input=conversation).input_tokens
    assert client.responses.create(**LIMIT, input=conversation).usage.input_tokens == counted


def test_a_conversation_by_previous_response_id(client: openai.OpenAI) -> None:
    first = client.responses.create(**LIMIT, input="the fox", instructions="Be brief.")
    second = client.responses.create(**LIMIT, input="more", previous_response_id=first.id)
    third = list(client.responses.create(**LIMIT, input="again", previous_response_id=second.id, stream=True))[-1].response
    whole = [user("the fox"), *first.output, user("more"), *second.output, user("again")]
    same = client.responses.create(**LIMIT, input=whole)  # without the instructions, which are of one request only
    assert (third.usage, third.output_text) == (same.usage, same.output_text)
    other = client.responses.create(**LIMIT, input="another", previous_response_id=first.id)
    assert other.usage.input_tokens < third.usage.input_tokens


def test_stored_responses(client: openai.OpenAI) -> None:
    response = client.responses.create(**LIMIT, input="the fox", metadata={"a": "b"})
    assert client.responses.retrieve(response.id) == response
    streamed = list(client.responses.create(**LIMIT, input="the fox", stream=True))[-1].response
    assert client.responses.retrieve(streamed.id) == streamed
    with pytest.raises(openai.BadRequestError, match="is complete and cannot be canceled"):
        client.responses.cancel(response.id)
    client.responses.delete(response.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="there is no response"):
            call(response.id)
    with pytest.raises(openai.BadRequestError, match="there is no response") as error:
        client.responses.create(**LIMIT, input="more", previous_response_id=response.id)
    assert (error.value.code, error.value.param) == ("previous_response_not_found", "previous_response_id")
    unstored = client.responses.create(**LIMIT, input="the fox", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unstored.id)


def test_input_items_are_listed_page_by_page(client: openai.OpenAI) -> None:
    first = client.responses.create(**LIMIT, input=[user("1"), {"role": "assistant", "content": "2"}, user("3")])
    second = client.responses.create(**LIMIT, input="5", previous_response_id=first.id)
    items = list(client.responses.input_items.list(second.id, order="asc", limit=2))  # follows the pages
    assert [item.content[0].text for item in items] == ["1", "2", "3", first.output_text, "5"]
    newest_first = list(client.responses.input_items.list(second.id))
    assert [item.id for item in newest_first] == [item.id for item in reversed(items)]
    assert len({item.id for item in items}) == 5 and all(item.status for item in items)
    with pytest.raises(openai.BadRequestError, match="is no item of this list"):
        client.responses.input_items.list(second.id, after="msg_1")


def test_input_items_outlive_the_responses_before_them(client: openai.OpenAI) -> None:
    first = client.responses.create(**LIMIT, input="1")
    second = client.responses.create(**LIMIT, input="2", previous_response_id=first.id)
    third = client.responses.create(**LIMIT, input="3", previous_response_id=second.id)
    client.responses.delete(first.id)
    items = list(client.responses.input_items.list(third.id, order="asc"))
    assert [item.content[0].text for item in items] == ["2", second.output_text, "3"]
    with pytest.raises(openai.BadRequestError, match=f"there is no response '{first.id}' here, which '{third.id}'") as error:
        client.responses.create(**LIMIT, input="4", previous_response_id=third.id)
    assert (error.value.code, error.value.param) == ("previous_response_not_found", "previous_response_id")


def test_an_item_reference_stands_for_the_item(client: openai.OpenAI) -> None:
    response = client.responses.create(**LIMIT, input="the fox")
    question = client.responses.input_items.list(response.id).data[0].id
    references = [{"type": "item_reference", "id": question}, {"id": response.output[0].id}]
    by_reference = client.responses.create(**LIMIT, input=[*references, user("more")])
    by_value = client.responses.create(**LIMIT, input=[user("the fox"), *response.output, user("more")])
    assert by_reference.usage == by_value.usage and by_reference.output_text == by_value.output_text
    for name in ("msg_1", f"msg_{'0' * 32}_0", response.output[0].id + "1"):
        with pytest.raises(openai.BadRequestError, match="there is no item"):
            client.responses.create(**LIMIT, input=[{"type": "item_reference", "id": name}])


def test_truncation_leaves_out_the_oldest_turns(client: openai.OpenAI) -> None:
    turns = [item for n in range(40) for item in (user(f"question {n}"), {"role": "assistant", "content": "answer"})]
    request = {**LIMIT, "input": [{"role": "system", "content": "Be brief."}, *turns, user("last")]}
    with pytest.raises(openai.BadRequestError, match="the model's context is 512 tokens"):
        client.responses.create(**request)
    response = client.responses.create(**request, truncation="auto")
    assert 400 < response.usage.input_tokens <= 512 - 8
    count = client.responses.input_tokens.count(model="tiny", input=request["input"], truncation="auto")
    assert count.input_tokens <= 512 - 512 // 8
    with pytest.raises(openai.BadRequestError, match="context is 512 tokens"):
        client.responses.create(**LIMIT, input="word " * 600, truncation="auto")


def test_an_unfinished_answer_is_continued(client: openai.OpenAI) -> None:
    response = client.responses.create(**LIMIT, input="the fox")
    longer = client.responses.create(**{**LIMIT, "max_output_tokens": 16}, input="the fox")
    continued = client.responses.create(**LIMIT, input=[user("the fox"), *response.output])
    assert response.output_text + continued.output_text == longer.output_text


def test_a_forced_call_and_its_result(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    request = {"model": "tiny", "input": [user("count")], "tools": [COUNT], "max_output_tokens": 60, "temperature": 0}
    for choice in ("required", {"type": "function", "name": "count"}):
        response = client.responses.create(**request, tool_choice=choice)
        assert response.status == "completed" and len(response.output) == 1
        call = response.output[0]
        assert (call.type, call.name) == ("function_call", "count") and json.loads(call.arguments)["n"] in (1, 2)
    events = list(client.responses.create(**request, tool_choice=choice, stream=True))
    assert [e.delta for e in events if e.type == "response.function_call_arguments.delta"] == [call.arguments]
    assert events[-1].response.output[0].arguments == call.arguments
    check_nesting(events)
    for output in ("3", [{"type": "input_text", "text": "3"}]):
        result = {"type": "function_call_output", "call_id": call.call_id, "output": output}
        answer = client.responses.create(**LIMIT, tools=[COUNT], input=[user("count"), *response.output, result])
        assert answer.output[0].type == "message"
        by_id = client.responses.create(**LIMIT, tools=[COUNT], input=[result], previous_response_id=response.id)
        assert by_id.usage == answer.usage


def test_a_truncated_call_is_incomplete(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    request = {**LIMIT, "input": "count", "tools": [COUNT], "tool_choice": "required"}
    response = client.responses.create(**request)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert [(item.type, item.name, item.status) for item in response.output] == [("function_call", "count", "incomplete")]
    events = list(client.responses.create(**request, stream=True))
    assert events[-1].type == "response.incomplete" and events[-1].response.output[0].status == "incomplete"
    assert events[-1].response.output[0].arguments == response.output[0].arguments
    check_nesting(events)


def test_structured_output(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    text = {"format": {"type": "json_schema", "name": "n", "schema": COUNT["parameters"], "strict": True}}
    response = client.responses.create(model="tiny", input="count", text=text, max_output_tokens=40, temperature=0)
    assert json.loads(response.output_text)["n"] in (1, 2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_output_tokens": 10_000}, "max_output_tokens"),
        ({"input": "word " * 600}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0].type"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"contains": {}, "minimum": "a"}}}},
            "text.format.schema",
        ),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [user("a"), 5]}, "input[1]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"background": True}, "background"),
        ({"stop_token_ids": [99_999]}, "stop_token_ids"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ],
)
def test_errors_name_the_field_as_the_client_wrote_it(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.post("/responses", body={**LIMIT, "input": "hi", **fields}, cast_to=object)
    assert error.value.param == param and error.value.type == "invalid_request_error"


def test_a_response_that_cannot_be_kept_is_still_given(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        with sqlite3.connect(tmp_path / "chats.sqlite") as connection:
            connection.execute("DROP TABLE responses")
        connection.close()
        response = client.responses.create(**LIMIT, input="the fox")
        streamed = list(client.responses.create(**LIMIT, input="the fox", stream=True))[-1].response
        assert response.store is streamed.store is False and response.output_text == streamed.output_text
        with pytest.raises(openai.APIStatusError, match="the store failed") as error:
            client.responses.retrieve(response.id)
        assert error.value.status_code == 503


def test_responses_are_private_to_their_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    with running(tmp_path, keys=Keys.read([], write_keys(file))) as server:
        ann, bob = (openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) for key in ("a" * 20, "b" * 20))
        response = ann.responses.create(**LIMIT, input="the fox")
        for call in (bob.responses.retrieve, bob.responses.delete, bob.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                call(response.id)
        with pytest.raises(openai.BadRequestError, match="there is no response"):
            bob.responses.create(**LIMIT, input="more", previous_response_id=response.id)
        with pytest.raises(openai.BadRequestError, match="there is no item"):
            bob.responses.create(**LIMIT, input=[{"type": "item_reference", "id": response.output[0].id}])
        assert ann.responses.retrieve(response.id) == response


def write_keys(file: Path) -> Path:
    lines = [f'[{key}]\nsha256 = "{hashlib.sha256((key * 20).encode()).hexdigest()}"\n' for key in ("a", "b")]
    file.write_text("".join(lines))
    return file
