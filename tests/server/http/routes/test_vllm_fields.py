"""Fields and endpoints that vLLM adds to OpenAI's, under vLLM's names."""

from typing import Any

import httpx2 as httpx
import openai
import pytest

from lmcraft.language_model import LanguageModel
from tests.server.tiny_server import Server

HELLO = [{"role": "user", "content": "the quick brown fox"}]
CHAT: dict[str, Any] = {"model": "tiny", "messages": HELLO, "max_tokens": 8, "temperature": 0}
COMPLETION: dict[str, Any] = {"model": "tiny", "prompt": "the quick", "max_tokens": 8, "temperature": 0}


def test_stop_token_ids_end_a_text(client: openai.OpenAI, model: LanguageModel) -> None:
    for create, request in ((client.chat.completions.create, CHAT), (client.completions.create, COMPLETION)):
        ids = create(**request, extra_body={"return_token_ids": True}).choices[0].token_ids
        stop = next(token_id for token_id in ids[1:] if token_id != ids[0])
        extra = {"stop_token_ids": [stop], "return_token_ids": True, "ignore_eos": True}
        choice = create(**request, extra_body=extra).choices[0]
        assert (choice.finish_reason, choice.stop_reason) == ("stop", stop)
        assert choice.token_ids == ids[: ids.index(stop) + 1]
        text = choice.message.content if request is CHAT else choice.text
        assert text == model.tokenizer.decode(ids[: ids.index(stop)])  # without the stop token
        parts = list(create(**request, extra_body=extra, stream=True))
        assert parts[-1].choices[0].stop_reason == stop
        assert create(**request, extra_body={"ignore_eos": True}).choices[0].stop_reason is None
        with pytest.raises(openai.BadRequestError, match="stop_token_ids names the token 99999") as error:
            create(**request, extra_body={"stop_token_ids": [99_999]})
        assert error.value.param == "stop_token_ids"


def test_a_stop_string_is_named(client: openai.OpenAI) -> None:
    text = client.completions.create(**COMPLETION).choices[0].text
    choice = client.completions.create(**COMPLETION, stop=["never", text[2:4]]).choices[0]
    assert (choice.finish_reason, choice.stop_reason) == ("stop", text[2:4])


def test_prompt_logprobs(client: openai.OpenAI, model: LanguageModel) -> None:
    extra = {"prompt_logprobs": 2, "return_token_ids": True}
    chat = client.chat.completions.create(**CHAT, extra_body=extra)
    completions = client.completions.create(**{**COMPLETION, "prompt": [HELLO[0]["content"], "a"]}, extra_body=extra)
    for ids, positions in (
        (chat.prompt_token_ids, chat.prompt_logprobs),
        *((choice.prompt_token_ids, choice.prompt_logprobs) for choice in completions.choices),
    ):
        assert len(positions) == len(ids) and positions[0] is None
        logprobs_TV = model.engine.score(ids).log_softmax(dim=-1)
        for position, scores in enumerate(positions[1:], start=1):
            own = scores[str(ids[position])]
            assert own["logprob"] == pytest.approx(float(logprobs_TV[position - 1, ids[position]]), abs=1e-3)
            assert 2 <= len(scores) <= 3 and {1, 2, own["rank"]} == {score["rank"] for score in scores.values()}
            assert own["decoded_token"] == model.tokenizer.token_bytes(ids[position]).decode("utf-8", "replace")


def test_prompt_logprobs_of_the_prompts_own_tokens_alone(client: openai.OpenAI) -> None:
    choice = client.completions.create(**COMPLETION, extra_body={"prompt_logprobs": 0}).choices[0]
    assert all(len(scores) == 1 for scores in choice.prompt_logprobs[1:])
    nothing = client.completions.create(**{**COMPLETION, "max_tokens": 0}, extra_body={"prompt_logprobs": 0}).choices[0]
    assert nothing.prompt_logprobs == choice.prompt_logprobs and nothing.text == ""
    echo = client.completions.create(**COMPLETION, echo=True, logprobs=1, extra_body={"prompt_logprobs": 3}).choices[0]
    assert all(1 <= len(top) <= 2 for top in echo.logprobs.top_logprobs[1:])
    with pytest.raises(openai.BadRequestError, match="prompt_logprobs cannot be streamed"):
        client.completions.create(**COMPLETION, stream=True, extra_body={"prompt_logprobs": 1})
    with pytest.raises(openai.BadRequestError, match="prompt_logprobs=-1 is invalid"):
        client.chat.completions.create(**CHAT, extra_body={"prompt_logprobs": -1})


@pytest.mark.parametrize("stream", [False, True])
def test_echo_repeats_the_text_that_is_continued(client: openai.OpenAI, stream: bool) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "the lazy"}]
    options = {"add_generation_prompt": False, "continue_final_message": True}

    def ask(messages: list[dict[str, str]], **extra: Any) -> str:
        response = client.chat.completions.create(**{**CHAT, "messages": messages}, extra_body=extra, stream=stream)
        if not stream:
            return response.choices[0].message.content or ""
        return "".join(part.choices[0].delta.content or "" for part in response)

    assert ask(messages, echo=True, **options) == "the lazy" + ask(messages, **options)
    assert ask(HELLO, echo=True) == ask(HELLO)


def test_prompts_as_token_ids(client: openai.OpenAI, model: LanguageModel) -> None:
    ids = model.tokenizer.encode("the quick")
    texts = client.completions.create(**{**COMPLETION, "prompt": ["the quick", "a"]}).choices
    by_id = client.completions.create(**{**COMPLETION, "prompt": [ids, model.tokenizer.encode("a")]}).choices
    assert [choice.text for choice in by_id] == [choice.text for choice in texts]
    assert client.completions.create(**{**COMPLETION, "prompt": ids}).choices[0].text == texts[0].text
    mixed = client.completions.create(**{**COMPLETION, "prompt": [ids, "a"]}).choices
    assert [choice.text for choice in mixed] == [choice.text for choice in texts]
    for prompt in ([], [[]], [ids, []], [10**6], [-1], [1, "a"], [True], [1.5], ["a", 1]):
        with pytest.raises(openai.BadRequestError) as error:
            client.completions.create(**{**COMPLETION, "prompt": prompt})
        assert (error.value.param or "").startswith("prompt")


def test_tokenizer_info(server: Server, model: LanguageModel) -> None:
    info = httpx.get(server.url + "/tokenizer_info").json()
    assert isinstance(info["tokenizer_class"], str) and info["chat_template"] == model.tokenizer.chat_template
    assert info["eos_token"] in model.tokenizer.special_tokens
    for token_id, token in info["added_tokens_decoder"].items():
        assert model.tokenizer.id_of(token["content"]) == int(token_id)
    assert httpx.get(server.url + "/tokenizer_info?model=other").status_code == 404


LONG = [{"role": "user", "content": "the quick brown fox jumps over the lazy dog " * 12}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": LONG, "max_tokens": 2, "n": 2}),
        ("/v1/completions", {"prompt": LONG[0]["content"], "max_tokens": 2}),
        ("/v1/responses", {"input": LONG, "max_output_tokens": 2}),
        ("/v1/messages", {"messages": LONG, "max_tokens": 2}),
    ],
)
def test_tokens_of_an_earlier_prompt_are_reported_as_cached(server: Server, path: str, body: dict[str, Any]) -> None:
    def counts() -> tuple[int, int]:
        """The tokens of the prompt, and how many of them were cached."""
        usage = httpx.post(server.url + path, json={**body, "user": path}).json()["usage"]
        if path == "/v1/messages":
            return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]
        name = "input_tokens" if path == "/v1/responses" else "prompt_tokens"
        return usage[name], usage[f"{name}_details"]["cached_tokens"]

    (total, cached), again = counts(), counts()
    assert cached == 0 and again[0] == total and 0 < again[1] < total


def test_a_stream_reports_cached_tokens(client: openai.OpenAI) -> None:
    request: dict[str, Any] = {"model": "tiny", "messages": LONG, "max_tokens": 2, "user": "stream"}
    client.chat.completions.create(**request)
    *_, last = client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    assert last.usage.prompt_tokens_details.cached_tokens > 0
