import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lmcraft.cli import main
from lmcraft.errors import RunError
from lmcraft.terminal_chat.remote import RemoteBackend
from lmcraft.terminal_chat.tree import AnswerChunk, Conversation
from tests.terminal_chat.fake_server import FakeServer, server

__all__ = ["server"]


def chat_with_server(address: str, lines: str, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    return main(["chat", address, *flags])


def test_a_server_answers(server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--seed", "7", "--max-new-tokens", "9", "--top-k", "3", "--stop", "\\n", "--regex", "a+", "--system", "S")
    assert chat_with_server(server.url + "/v1/", "Hi\n/regenerate\nMore\n", monkeypatch, *flags) == 0
    assert capsys.readouterr() == ("Hello\x1b[2J 从前\n" * 3, "")
    first, second, third = server.requests
    assert first == {
        "model": "talks",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "reasoning_format": "none",
        "stream_options": {"include_usage": True},
        "seed": 7,
        "max_tokens": 9,
        "top_k": 3,
        "stop": ["\n"],
        "structured_outputs": {"regex": "a+"},
    }
    assert second == first | {"seed": 8}
    assert third["seed"] == 7 and [message["role"] for message in third["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize("address", ["https://huggingface.co/Qwen/Qwen3-0.6B", "https://hf.co/Qwen/Qwen3-0.6B/tree/main"])
def test_a_page_of_the_hub_is_no_server(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat_with_server(address, "Hi\n", monkeypatch) == 2
    assert "is a page of the Hugging Face hub, not a server: write hf:Qwen/Qwen3-0.6B" in capsys.readouterr().err


def test_a_remote_answer_as_json_has_token_counts(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat_with_server(server.url + "#talks", "Hi\n", monkeypatch, "--json") == 0
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    content = "".join(server.pieces)
    expected = {"role": "assistant", "content": content, "finish_reason": "stop", "usage": usage}
    out = capsys.readouterr().out
    assert json.loads(out) == expected and out.count("\n") == 1 and "max_tokens" not in server.requests[0]


def test_turns_are_dropped_when_the_server_reports_a_full_context(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fits = 3
    assert chat_with_server(server.url, "a\nb\nc\nd\n", monkeypatch) == 0
    assert [len(body["messages"]) for body in server.requests] == [1, 3, 5, 3, 5, 3]
    assert [body.get("max_tokens") for body in server.requests[:2]] == [None, 32]  # half of the context is for the answer
    assert capsys.readouterr().err.count("context of 64 tokens: its oldest turn is forgotten") == 2
    server.fits = 0
    assert chat_with_server(server.url, "a\n/branch\n", monkeypatch) == 2
    assert capsys.readouterr() == (
        "\n",
        "too long: shorten it\nthere are no branches yet: ask something first\n"
        "lmcraft chat: 2 of the 2 lines failed, as the notices above say\n",
    )


def test_thoughts_stay_out_of_pipes(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.thoughts, server.pieces = ["hm"], ["yes"]
    assert chat_with_server(server.url, "Hi\nHo\n", monkeypatch) == 0
    assert capsys.readouterr().out == "yes\nyes\n"
    assert server.requests[1]["messages"][1] == {"role": "assistant", "content": "yes"}


def test_thoughts_in_the_text_of_other_servers_are_told_apart(server: FakeServer) -> None:
    server.pieces = ["<thi", "nk>\nhm", "\n</think>\n\n", "yes"]
    conversation = Conversation(RemoteBackend(server.url, {}, divides=True))
    conversation.answer("Hi", lambda chunk: None)
    assert conversation.last is not None and (conversation.last.thoughts, conversation.last.content) == ("hm", "yes")


def test_ctrl_c_closes_the_connection(server: FakeServer) -> None:
    server.endless = True
    conversation = Conversation(RemoteBackend(server.url, {}))

    def on_chunk(chunk: AnswerChunk) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:  # held, so that what closes it is not the end of the frame
        conversation.answer("Hi", on_chunk)
    assert server.disconnected.wait(5), caught
    assert conversation.last is not None and conversation.last.content == "Hel"


def test_an_interrupted_answer_is_kept(server: FakeServer) -> None:
    server.broken = True
    conversation = Conversation(RemoteBackend(server.url, {}))
    with pytest.raises(RunError, match="was cut off"):
        conversation.answer("Hi", lambda text: None)
    assert conversation.last is not None and conversation.last.content == "".join(server.pieces)


def test_errors_of_a_server_are_one_line(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def error_of(address: str, *flags: str) -> str:
        assert chat_with_server(address, "Hi\n", monkeypatch, *flags) in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith("lmcraft chat: ") and error.count("\n") == 1
        return error

    assert r"there is no model\x07 of that name" in error_of(server.url + "#other")
    assert f"--adapter does not apply to a model behind a server: name it as the model, {server.url}#NAME" in error_of(
        server.url, "--adapter", "x"
    )
    assert "--max-length does not apply" in error_of(server.url, "--max-length", "20")
    assert "--weights does not apply" in error_of(server.url, "--weights", "int4")
    assert "write http://HOST:PORT" in error_of("http://me:secret@127.0.0.1")
    assert "write http://HOST:PORT" in error_of("http://127.0.0.1:99999")
    monkeypatch.setenv("LMCRAFT_API_KEY", "wrong")
    assert "put it into the environment variable LMCRAFT_API_KEY" in error_of(server.url)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    assert f"no server listens at http://127.0.0.1:{port}: start one with `lmcraft serve MODEL`" in error_of(
        f"http://127.0.0.1:{port}"
    )


def test_text_from_a_server_cannot_control_the_terminal(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert chat_with_server(server.url, "Hi\n/branch\n", monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and r"Hello\x1b[2J" in out and r"Hello\x1b[2J" in err
