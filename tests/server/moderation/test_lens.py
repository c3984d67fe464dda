"""What a policy refuses or hides cannot be read through the lens."""

from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.server.engine.token_lens import LayerReading, TokenLens
from lmcraft.server.http.routes import lens as lens_route
from tests.finetuning.chat import chat_tokenizer
from tests.server.moderation.flagged import KeptTexts
from tests.server.tiny_server import Server

Json = dict[str, Any]


def ask(server: Server, status: int = 200, **body: Any) -> Json:
    response = httpx.post(server.url + "/v1/lens", json=body, timeout=60)
    assert response.status_code == status, response.text
    value: Json = response.json()
    return value["error"] if status != 200 else value


def ids_of(text: str) -> list[int]:
    return chat_tokenizer().encode(text)


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "refuse it"},
        {"prompt": ids_of("refuse it")},
        {"messages": [{"role": "user", "content": "refuse it"}]},
        {"messages": [{"role": "user", "content": "hi"}], "token_ids": ids_of("I refuse")},
        {"prompt": "I ref", "token_ids": ids_of("use")},
        {"prompt": "a vague text"},
        {"prompt": "crash"},
    ],
    ids=str,
)
def test_a_refused_text_has_no_lens(server: Server, body: Json) -> None:
    assert ask(server, 403, **body)["code"] == "content_filter"


def test_what_is_redacted_is_not_read(server: Server) -> None:
    redacted = ask(server, prompt="a redact b")
    assert redacted["lenses"] == ask(server, prompt="a [redacted] b")["lenses"]
    assert redacted["usage"]["prompt_tokens"] == len(ids_of("a [redacted] b"))


def test_a_text_that_is_read_again_does_not_go_to_review_again(server: Server, reviews: KeptTexts) -> None:
    reviews.texts.clear()
    ask(server, prompt="a review")
    assert not reviews.texts


def test_tokens_that_would_complete_a_harmful_word_are_hidden(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    end, other, vague = ids_of("e")[0], ids_of("x")[0], ids_of("g")[0]
    readings = [LayerReading(0, [(end, -1.0), (other, -2.0)]), LayerReading(1, [(other, -1.0), (vague, -3.0)])]

    async def read(*_: Any) -> list[TokenLens]:
        return [TokenLens("logit", readings)]

    monkeypatch.setattr(lens_route, "_read_lenses", read)

    def shown(**body: Any) -> list[list[int]]:
        layers = ask(server, **body)["lenses"][0]["layers"]
        return [[top["token_id"] for top in reading["top_logprobs"]] for reading in layers]

    assert shown(prompt="I like") == [[end, other], [other, vague]]
    assert shown(prompt="I refus") == [[other], [other, vague]]
    assert shown(messages=[{"role": "user", "content": "hi"}], token_ids=ids_of("I refus")) == [[other], [other, vague]]
    assert shown(prompt="I am va") == [[end, other], [other, vague]]
    assert shown(prompt="I am vagu") == [
        [other],
        [other, vague],
    ]  # the judge names no passage: halves tell which token it is
    assert ask(server, prompt="I refus")["hidden_tokens"] == 1
    assert ask(server, 403, prompt="I refus", target=end)["code"] == "content_filter"
