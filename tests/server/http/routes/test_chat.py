"""Every endpoint through OpenAI's own client, on a tiny random model."""

import json
import math

import httpx2 as httpx
import openai
import pytest

from lmcraft.language_model import LanguageModel
from tests.server.tiny_server import CONTEXT, Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture
def model(server: Server) -> LanguageModel:
    return server.serving.registry.get("tiny").language_model()


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="there is tiny"):
        client.models.retrieve("other")


def test_a_chat_is_answered_as_the_model_would(client: openai.OpenAI, model: LanguageModel) -> None:
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=12, temperature=0)
    text = model.tokenizer.apply_chat_template(HELLO)
    ids = model.tokenizer.encode(text, parse_special=True)
    expected = model.generate(ids, max_new_tokens=12, do_sample=False)[0][len(ids) :]
    assert answer.choices[0].message.content == model.tokenizer.decode(expected)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), len(expected))


def test_a_stream_says_the_same_and_counts(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "seed": 3, "n": 2}
    whole = client.chat.completions.create(**asked)
    parts = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for n in range(2):
        said = "".join(c.delta.content or "" for part in parts for c in part.choices if c.index == n)
        assert said == whole.choices[n].message.content
    assert whole.choices[0].message.content != whole.choices[1].message.content
    assert parts[-1].usage == whole.usage
    assert [c.finish_reason for part in parts for c in part.choices if c.finish_reason] == ["length"] * 2


def test_log_probabilities_and_ids(server: Server, client: openai.OpenAI, model: LanguageModel) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3,
        extra_body={"return_token_ids": True},
    )  # fmt: skip
    content = answer.choices[0].logprobs.content
    ids = answer.choices[0].token_ids
    assert len(content) == len(ids) == 4
    for entry, token_id in zip(content, ids, strict=True):
        assert entry.token_id == token_id == entry.top_logprobs[0].token_id  # greedy: the likeliest is the one
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob) and len(entry.top_logprobs) == 3
        assert bytes(entry.bytes) == model.tokenizer.token_bytes(token_id)
    asked = httpx.post(server.url + "/tokenize", json={"messages": HELLO}).json()
    assert asked["tokens"] == answer.prompt_token_ids


def test_a_completion_echoes_scores_and_continues_tokens(client: openai.OpenAI, model: LanguageModel) -> None:
    ids = model.tokenizer.encode("Line 3: the quick")
    scored = client.completions.create(model="tiny", prompt=ids, max_tokens=0, echo=True, logprobs=2)
    logprobs = scored.choices[0].logprobs
    assert "".join(logprobs.tokens) == scored.choices[0].text == "Line 3: the quick"
    theirs = model.engine.score(ids).log_softmax(-1)
    assert logprobs.token_logprobs[0] is None
    assert logprobs.token_logprobs[2] == pytest.approx(float(theirs[1, ids[2]]), abs=1e-3)
    both = client.completions.create(model="tiny", prompt=["the", "fox"], max_tokens=5, echo=True, seed=1, n=2)
    assert [choice.text[:3] for choice in both.choices] == ["the", "the", "fox", "fox"]
    parts = client.completions.create(model="tiny", prompt="the", max_tokens=5, seed=1, stream=True)
    assert "the" + "".join(part.choices[0].text for part in parts) == both.choices[0].text


def test_a_message_is_continued_where_it_stops(server: Server, client: openai.OpenAI) -> None:
    begun = [*HELLO, {"role": "assistant", "content": "the lazy"}]
    more = {"add_generation_prompt": False, "continue_final_message": True}
    tokens = httpx.post(server.url + "/tokenize", json={"messages": begun, "return_token_strs": True, **more}).json()
    assert "".join(tokens["token_strs"]).endswith("assistant\nthe lazy")
    client.chat.completions.create(model="tiny", messages=begun, max_tokens=2, extra_body=more)
    with pytest.raises(openai.BadRequestError, match="needs an assistant's message"):
        client.chat.completions.create(model="tiny", messages=HELLO, extra_body=more)


def test_structured_output(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = client.chat.completions.create(model="tiny", messages=HELLO, response_format=form, max_tokens=40, seed=2)
    assert 0 <= json.loads(answer.choices[0].message.content)["n"] <= 9
    choice = {"structured_outputs": {"choice": ["yes", "n.o"]}}
    answer = client.chat.completions.create(model="tiny", messages=HELLO, extra_body=choice, max_tokens=40)
    assert answer.choices[0].message.content in ("yes", "n.o")
    with pytest.raises(openai.BadRequestError, match="json_schema cannot be used"):
        broken = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "nothing"}}}
        client.chat.completions.create(model="tiny", messages=HELLO, response_format=broken)


def test_a_tool_that_must_be_called_is_called(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    digit = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    tools = [{"type": "function", "function": {"name": "count", "parameters": digit}}]
    asked = {"model": "tiny", "messages": HELLO, "tools": tools, "tool_choice": "required", "max_tokens": 60, "seed": 1}
    choice = client.chat.completions.create(**asked).choices[0]
    call = choice.message.tool_calls[0].function
    assert (choice.finish_reason, call.name) == ("tool_calls", "count")
    assert json.loads(call.arguments)["n"] in (1, 2)
    parts = [part.choices[0] for part in client.chat.completions.create(**asked, stream=True)]
    assert [c.function.arguments for p in parts for c in p.delta.tool_calls or ()] == [call.arguments]
    response = client.responses.create(
        model="tiny", input="count", tools=[{"type": "function", **tools[0]["function"]}], tool_choice="required",
        max_output_tokens=60,
    )  # fmt: skip
    assert response.output[0].type == "function_call" and response.output[0].name == "count"


def test_responses(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "input": [{"role": "user", "content": "the fox"}], "instructions": "Be brief."}
    answer = client.responses.create(**asked, max_output_tokens=8, temperature=0)
    events = list(client.responses.create(**asked, max_output_tokens=8, temperature=0, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == answer.output_text
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.usage == answer.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(openai.UnprocessableEntityError, match="previous_response_id' is not supported"):
        client.responses.create(**asked, previous_response_id="resp_1")


def test_embeddings(client: openai.OpenAI) -> None:
    data = client.embeddings.create(model="tiny", input=["the fox", "the dog", "the fox"]).data
    vectors = [entry.embedding for entry in data]
    assert vectors[0] == pytest.approx(vectors[2]) and vectors[0] != pytest.approx(vectors[1])
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-4)
    short = client.embeddings.create(model="tiny", input="the fox", dimensions=4, encoding_format="float").data[0].embedding
    assert len(short) == 4 and math.hypot(*short) == pytest.approx(1, abs=1e-4)


def test_a_causal_model_says_which_label_it_would_rather_give(server: Server) -> None:
    answer = httpx.post(server.url + "/v1/classify", json={"input": ["the fox", "dogs"], "labels": ["lazy", "quick"]}).json()
    assert [sum(entry["probs"]) for entry in answer["data"]] == pytest.approx([1, 1])
    assert {entry["label"] for entry in answer["data"]} <= {"lazy", "quick"}


def test_tokens_there_and_back(server: Server) -> None:
    text = "天地玄黄 🙂 the fox"
    tokens = httpx.post(server.url + "/tokenize", json={"prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == CONTEXT
    assert httpx.post(server.url + "/detokenize", json={"tokens": tokens["tokens"]}).json() == {"prompt": text}


def test_health_and_metrics(server: Server) -> None:
    assert httpx.get(server.url + "/health").status_code == httpx.get(server.url + "/ready").status_code == 200
    text = httpx.get(server.url + "/metrics").text
    assert 'vllm:generation_tokens_total{model_name="tiny"}' in text


@pytest.mark.parametrize(
    ("field", "value", "status", "said"),
    [
        ("temperature", -1, 422, "temperature=-1 does not fit"),
        ("functions", [], 422, "'functions' is not supported here: leave it out"),
        ("messages", [], 422, "messages=[] does not fit"),
        ("model", "../../etc", 404, "there is no model '../../etc' here"),
        ("n", 99, 400, "ask for at most 16"),
        ("max_tokens", 10_000, 400, f"context is {CONTEXT} tokens, but the prompt has"),
        ("logit_bias", {"99999": 1}, 400, "logit_bias names the token 99999"),
        ("tool_choice", "required", 400, "tool_choice needs tools"),
        ("store", True, 422, "store=True does not fit"),
        ("repetition_penalty", 1e-44, 400, "the logits overflow"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(server: Server, field: str, value: object, status: int, said: str) -> None:
    body = {"model": "tiny", "messages": HELLO, field: value}
    answer = httpx.post(server.url + "/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, set(error)) == (status, {"message", "type", "param", "code"})
    assert said in error["message"] and "\n" not in error["message"]


def test_a_temperature_near_zero_is_greedy(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 6}
    texts = [client.chat.completions.create(**asked, temperature=t).choices[0].message.content for t in (0, 1e-300, 1e-6)]
    assert texts[0] == texts[1] == texts[2]


def test_tokens_of_another_vocabulary(client: openai.OpenAI) -> None:
    for ask in (client.completions.create, client.embeddings.create):
        with pytest.raises(openai.BadRequestError, match="the prompt has token 99999"):
            ask(model="tiny", **{"prompt" if ask == client.completions.create else "input": [1, 99999]})


def test_a_body_that_is_not_json(server: Server) -> None:
    for content in (b"{", b"\xff\xfe", b"[]", b'"a"'):
        answer = httpx.post(
            server.url + "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422) and answer.json()["error"]["message"]
    assert httpx.get(server.url + "/v1/nothing").json()["error"]["message"].startswith("there is no such address")


def test_a_server_without_a_moderator_says_so(server: Server) -> None:
    answer = httpx.post(server.url + "/v1/moderations", json={"input": "a"})
    assert answer.status_code == 404 and "--moderation" in answer.json()["error"]["message"]
    answer = httpx.post(server.url + "/v1/moderations", json={"input": "a", "model": "tiny"})
    assert answer.status_code == 400 and "no classification head" in answer.json()["error"]["message"]
