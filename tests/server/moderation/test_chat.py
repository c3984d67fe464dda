"""Chat completions that the policy judges."""

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.moderation.decision import Action
from tests.server.moderation.flagged import KeptTexts
from tests.server.moderation.guarded_server import REFUSAL, writes
from tests.server.tiny_server import Server

pytest.importorskip("llguidance")
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def ask(server: Server, prompt: Any = "hi", answer: str = "Fine.", *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The first choice of an answer; of a stream, put together from its chunks."""
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    body = {"messages": messages, **writes(answer), "stream": stream, "max_tokens": 300, **fields}
    response = httpx.post(server.url + "/v1/chat/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    if not stream:
        return dict(response.json()["choices"][0])
    choice: dict[str, Any] = {"message": {}, "logprobs": None, "token_ids": []}
    for line in response.text.splitlines():
        if not line.startswith("data: {"):
            continue
        chunk = json.loads(line.removeprefix("data: "))
        assert "error" not in chunk, line
        for one in chunk["choices"]:
            for name, text in one["delta"].items():
                choice["message"][name] = choice["message"].get(name, type(text)()) + text
            choice["finish_reason"] = one["finish_reason"]
            choice["token_ids"] += one.get("token_ids", [])
            if one["logprobs"]:
                choice["logprobs"] = {
                    "content": (choice["logprobs"] or {"content": []})["content"] + one["logprobs"]["content"]
                }
    return choice


STREAM = pytest.mark.parametrize("stream", [False, True])


@STREAM
@pytest.mark.parametrize("answer", ["Fine.", "One. Two. And more", "狐狸。它", "a flag and a review."])
def test_an_answer_that_passes_is_unchanged(server: Server, answer: str, stream: bool) -> None:
    choice = ask(server, answer=answer, stream=stream)
    assert choice["message"]["content"] == answer and choice["finish_reason"] == "stop"
    assert "refusal" not in choice["message"]


@STREAM
@pytest.mark.parametrize(
    ("answer", "released"),
    [
        ("refuse", ""),
        ("This is vague. Yes", ""),
        ("Fine. Then refuse it. More.", "Fine. \n\n"),
        ("Fine. Good. ref use refuse", "Fine. Good. \n\n"),
        ("crash", ""),
    ],
)
def test_a_refused_answer(server: Server, answer: str, released: str, stream: bool) -> None:
    choice = ask(server, answer=answer, stream=stream)
    assert choice["message"]["content"] == released + REFUSAL and choice["message"]["refusal"] == REFUSAL
    assert choice["finish_reason"] == "content_filter"


@STREAM
@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Do redact it.", "Do [redacted] it."),
        ("redact", "[redacted]"),
        ("A redactredact. redact! End", "A [redacted]. [redacted]! End"),
    ],
)
def test_a_passage_is_redacted(server: Server, answer: str, shown: str, stream: bool) -> None:
    choice = ask(server, answer=answer, stream=stream)
    assert choice["message"]["content"] == shown and choice["finish_reason"] == "stop"


@STREAM
def test_a_refused_prompt_is_answered_by_the_refusal_alone(server: Server, stream: bool) -> None:
    choice = ask(server, "please refuse", stream=stream, n=1, logprobs=True, top_logprobs=3)
    assert choice["message"]["content"] == REFUSAL and choice["finish_reason"] == "content_filter"
    assert ask(server, "请 refuse 狐狸跳过", stream=stream)["message"]["refusal"] == "我拒绝。"


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ({"role": "system", "content": "Always refuse."}, False),
        ({"role": "developer", "content": "refuse"}, False),
        ({"role": "assistant", "content": "I refuse."}, True),
        ({"role": "user", "content": "hi", "name": "refuse"}, False),
        ({"role": "user", "content": [{"type": "text", "text": "ref"}, {"type": "text", "text": "use"}]}, False),
        ({"role": "system", "content": [{"type": "text", "text": "ref"}, {"type": "text", "text": "use"}]}, False),
        ({"role": "user", "content": [{"type": "text", "text": text} for text in "refuse"]}, False),
        ({"role": "user", "content": "refuse"}, False),
        ({"role": "user", "content": [{"type": "text", "text": "re"}, {"type": "text", "text": "refuse"}]}, False),
    ],
)
def test_what_clients_send_is_judged_as_the_model_reads_it(server: Server, message: dict[str, Any], passes: bool) -> None:
    choice = ask(server, [message, {"role": "user", "content": "hi"}])
    assert (choice["finish_reason"] == "stop") == passes


@pytest.mark.parametrize("fields", [
    {"tools": [{"type": "function", "function": {"name": "refuse"}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "description": "refuse"}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "description": "redact"}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"refuse": {}}}}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {"enum": ["refuse"]}}}}}]},
    {"chat_template_kwargs": {"rules": "refuse"}},
])  # fmt: skip
def test_tools_and_variables_of_the_template_are_judged(server: Server, fields: dict[str, Any]) -> None:
    assert ask(server, **fields)["finish_reason"] == "content_filter"


def test_parts_are_redacted_together(server: Server, client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": text} for text in ("a red", "a", "ct b")]
    body = {"messages": [{"role": "user", "content": parts}], **writes("Fine."), "store": True}
    completion = httpx.post(server.url + "/v1/chat/completions", json=body).json()
    [stored] = client.chat.completions.messages.list(completion["id"]).data
    assert "".join(part["text"] for part in stored.content) == "a [redacted] b"  # type: ignore[union-attr, index]


def test_results_of_tools_are_judged(server: Server) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "it says refuse"},
    ]
    assert ask(server, messages, tools=TOOLS, tool_choice="none")["finish_reason"] == "content_filter"
    messages[-1]["content"] = [{"type": "text", "text": "ref"}, {"type": "text", "text": "use"}]
    assert ask(server, messages, tools=TOOLS, tool_choice="none")["finish_reason"] == "content_filter"


def test_a_prompt_is_redacted_before_the_model_reads_it(server: Server, client: openai.OpenAI) -> None:
    fields = {"return_token_ids": True, **writes("Fine."), "store": True}
    body = {"messages": [{"role": "user", "content": "a redact b"}], **fields}
    completion = httpx.post(server.url + "/v1/chat/completions", json=body).json()
    prompt = client.post("/../detokenize", body={"tokens": completion["prompt_token_ids"]}, cast_to=object)["prompt"]
    assert "a [redacted] b" in prompt and "redact " not in prompt
    stored = client.chat.completions.messages.list(completion["id"]).data
    assert stored[0].content == "a [redacted] b"


@STREAM
@pytest.mark.parametrize("answer", ["Yes. Then a redact here. refuse", "Fine. refuse it", "A redact."])
def test_neither_logprobs_nor_token_ids_leak_what_is_held(server: Server, answer: str, stream: bool) -> None:
    choice = ask(server, answer=answer, stream=stream, logprobs=True, top_logprobs=2, return_token_ids=True)
    shown = choice["message"]["content"].removesuffix(REFUSAL).rstrip("\n")
    entries = choice["logprobs"]["content"]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode().strip() == shown.strip()
    assert [entry["token_id"] for entry in entries] == choice["token_ids"][: len(entries)]
    assert "redact " not in shown and "refuse" not in shown


@STREAM
def test_each_of_n_answers_is_judged_by_itself(server: Server, stream: bool) -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "n": 6,
        "structured_outputs": {"regex": "(Fine|refuse)\\."},
        "stream": stream,
        "seed": 3,
    }
    response = httpx.post(server.url + "/v1/chat/completions", json=body, timeout=60)
    if stream:
        lines = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
        ends = {c["index"]: c["finish_reason"] for line in lines for c in line["choices"] if c["finish_reason"]}
        texts = [
            "".join(c["delta"].get("content", "") for x in lines for c in x["choices"] if c["index"] == n) for n in range(6)
        ]
    else:
        choices = response.json()["choices"]
        ends = {choice["index"]: choice["finish_reason"] for choice in choices}
        texts = [choice["message"]["content"] for choice in choices]
    assert {"Fine.": "stop", REFUSAL: "content_filter"} | dict(zip(texts, ends.values(), strict=True)) == {
        "Fine.": "stop", REFUSAL: "content_filter",
    }  # fmt: skip
    assert len(ends) == 6


@STREAM
@pytest.mark.parametrize(("arguments", "passes"), [('"a"', True), ('"ref\\\\u0075se"', False), ('"refuse"', False)])
def test_arguments_of_calls_are_judged_without_their_escapes(
    server: Server, arguments: str, passes: bool, stream: bool
) -> None:
    answer = f'<tool_call>{{"name": "f", "arguments": {{"x": {arguments}}}}}</tool_call>'.replace("\\\\", "\\")
    choice = ask(server, answer=answer, stream=stream, tools=TOOLS, tool_choice="auto")
    assert choice["finish_reason"] == ("tool_calls" if passes else "content_filter") or passes
    assert "se" not in json.dumps(choice["message"]).replace(json.dumps(REFUSAL)[1:-1], "").replace("refusal", "")


@STREAM
def test_a_begun_answer_is_judged_with_its_continuation(server: Server, stream: bool) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I re"}]
    fields = {"continue_final_message": True, "add_generation_prompt": False}
    assert ask(server, messages, "fuse. Yes", stream=stream, **fields)["finish_reason"] == "content_filter"
    echoing = {**fields, "echo": True}
    assert ask(server, messages, "fuse. Yes", stream=stream, **echoing)["message"]["content"] == REFUSAL
    later = ask(server, messages, "ad. Yes, refuse", stream=stream, **echoing)["message"]["content"]
    assert later == f"I read. \n\n{REFUSAL}"
    assert ask(server, messages, "ad", stream=stream, **echoing)["message"]["content"] == "I read"
    messages[-1]["content"] = "I refuse"
    assert ask(server, messages, " it", stream=stream, **fields)["finish_reason"] == "content_filter"
    assert ask(server, messages, " it", stream=stream, echo=True)["message"]["content"] == REFUSAL


@STREAM
def test_reviews_and_metrics(server: Server, reviews: KeptTexts, stream: bool) -> None:
    reviews.texts.clear()
    earlier = [{"role": "user", "content": "an old review"}, {"role": "assistant", "content": "Fine."}]
    chat = [*earlier, {"role": "user", "content": "a review please"}]
    ask(server, chat, answer="First. Another review. Last.", stream=stream)
    old, prompt, answer = reviews.texts
    assert (old.subject, old.text, old.is_old, old.context) == ("prompt", "an old review", True, [])
    assert (prompt.subject, prompt.text, prompt.is_old, prompt.context) == ("prompt", "a review please", False, earlier)
    assert (answer.subject, answer.text, answer.is_old) == ("answer", "First. Another review. Last.", False)
    assert answer.context == chat and answer.decision.action is Action.REVIEW
    metrics = httpx.get(server.url + "/metrics").text
    assert 'lmcraft:moderation_decisions_total{stage="answer",action="review"}' in metrics
    assert 'lmcraft:judgment_seconds_count{stage="answer"}' in metrics


@STREAM
def test_a_stored_completion_has_only_what_was_released(server: Server, client: openai.OpenAI, stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], **writes("Fine. refuse it."), "store": True, "stream": stream}
    response = httpx.post(server.url + "/v1/chat/completions", json=body)
    first = next(line for line in response.text.splitlines() if line.startswith("data: {"))[6:] if stream else response.text
    stored = client.chat.completions.retrieve(json.loads(first)["id"])
    assert stored.choices[0].message.content == f"Fine. \n\n{REFUSAL}"
