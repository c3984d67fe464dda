"""The commands of a chat, through a pipe."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.generation_flags import ConversationFlags
from lmcraft.terminal_chat.commands import CHAT_SETTINGS, completions, parse_value
from tests.terminal_chat.fake_server import FakeServer, server

__all__ = ["server"]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMCRAFT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def chat(monkeypatch: pytest.MonkeyPatch, lines: str, *arguments: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    return main(["chat", *arguments])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("temperature", ".5", 0.5),
        ("temperature", "1", 1.0),
        ("temperature", "1e-2", 0.01),
        ("top_k", "40", 40),
        ("seed", "7", 7),
        ("do_sample", "False", False),
        ("stop", "\\n\\n", ("\n\n",)),
        ("stop", "# 5", ("# 5",)),
        ("suppress_tokens", "5, 6 7", (5, 6, 7)),
        ("regex", "a+ b", "a+ b"),
    ],
)
def test_values_of_settings(name: str, text: str, value: Any) -> None:
    flags: dict[str, Any] = {name: parse_value(CHAT_SETTINGS[name], text)}
    assert ConversationFlags(**flags).settings() == {name: value}


@pytest.mark.parametrize(
    ("name", "text"),
    [("temperature", "hot"), ("temperature", "nan"), ("temperature", "inf"), ("top_k", "4.5"), ("seed", "x"),
     ("do_sample", "maybe"), ("suppress_tokens", "a b"), ("min_p", "")],
)  # fmt: skip
def test_impossible_values_are_refused(name: str, text: str) -> None:
    flags: dict[str, Any] = {name: parse_value(CHAT_SETTINGS[name], text)}
    with pytest.raises(UserError, match=name):
        ConversationFlags(**flags).settings()


def test_settings_change_the_requests_that_follow(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        "/set temperature 0.5\n/set top_k 9\n/set logit-bias.198 -5\n/set logit-bias.7 1\na\n"
        "/set top-k default\n/set max_tokens 5\n/set temperature\n/set\nb\n"
    )
    assert chat(monkeypatch, lines, server.url, "--top-k", "3") == 0
    first, second = server.requests
    assert (first["temperature"], first["top_k"], first["logit_bias"]) == (0.5, 9, {"198": -5.0, "7": 1.0})
    assert "top_k" not in second and second["max_tokens"] == 5 and second["temperature"] == 0.5
    err = capsys.readouterr().err
    assert "temperature = 0.5\nDivides the logits" in err and "Allowed: at least 0." in err and "As the model says: " in err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/set temprature 1", "there is no setting temprature: is it temperature?"),
        ("/set zzz 1", "there is no setting zzz: /set lists them"),
        ("/set top-p 7", "top_p=7.0 must be above 0 and at most 1"),
        ("/set num-beams 2", "there is no setting num-beams"),
        ("/set logit-bias.x 2", "logit_bias="),
        ("/set temperature.x 2", "temperature={'x': 2.0} is not"),
        ("/set suppress-tokens 5", "suppress-tokens does not apply to a model behind a server"),
        ("/continue", "there is no unfinished answer to continue"),
        ("/load", "No conversations are kept yet."),
        ("/load 1", "there are no conversations"),
        ("/load /dev/null/x", "there are no conversations"),
        ("/model #nothing", "is #nothing"),
        ("/model http://127.0.0.1:1", "no server listens"),
        ("/usr/bin/python3 fails", "there is no command /usr/bin/python3"),
    ],
)
def test_commands_say_what_is_wrong(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    sentence: str,
) -> None:
    status = chat(monkeypatch, line + "\n", server.url)
    err = capsys.readouterr().err
    assert sentence.replace("is #nothing", f"is {server.url}#nothing") in err and "Traceback" not in err
    assert status in (0, 1, 2)


@pytest.mark.parametrize(
    "contents",
    [
        "", "nonsense\n", "{}\n", '{"messages": []}\n', '{"messages": [1]}\n', '{"messages": [{"role": "user"}]}\n',
        '{"messages": [{"role": "user", "content": "a"}]}\n', '{"messages": [{"role": "user", "content": [1]}, 5]}\n',
        '{"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}\n',
    ],
)  # fmt: skip
def test_files_without_a_conversation_are_refused(
    contents: str, server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(contents)
    assert chat(monkeypatch, f"a\n/load {file}\nb\n", server.url) == 2
    assert "x.jsonl" in capsys.readouterr().err
    assert [len(request["messages"]) for request in server.requests] == [1, 3]  # the conversation goes on


def test_a_saved_conversation_is_loaded(server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "my chat.jsonl"
    assert chat(monkeypatch, f"a\nb\n/save {file}\n/reset\n/system T\n/load {file}\nc\n", server.url, "--system", "S") == 0
    contents = [message["content"] for message in server.requests[-1]["messages"]]
    assert contents[:2] == ["S", "a"] and contents[3] == "b" and contents[-1] == "c" and len(contents) == 6


def test_a_pipe_keeps_nothing_unless_it_continues(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(monkeypatch, "a\n", server.url) == 0 and not data.exists()
    assert chat(monkeypatch, "a\n", "--continue") == 2
    assert "there are no conversations" in capsys.readouterr().err
    (data / "chats").mkdir(parents=True)
    file = data / "chats" / "abc.jsonl"
    rows: list[dict[str, Any]] = [
        {"model": server.url, "settings": {"temperature": 0.5, "top_k": 4}, "system": "S"},
        {"id": 0, "role": "user", "parent": None, "text": "a"},
        {"id": 1, "role": "assistant", "parent": 0, "text": "A", "finish_reason": "stop"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert chat(monkeypatch, "b\n", "--continue", "--top-k", "5") == 0
    assert chat(monkeypatch, "c\n", "--resume", "abc", "--system", "T") == 0
    assert chat(monkeypatch, "c\n", "--resume", "abd") == 2
    assert chat(monkeypatch, "c\n", "--resume", "abc", "--continue") == 2
    first, second = server.requests[-2:]
    assert [m["content"] for m in first["messages"]] == ["S", "a", "A", "b"]
    assert (first["temperature"], first["top_k"]) == (0.5, 5)
    assert [m["content"] for m in second["messages"]][:4] == ["T", "a", "A", "b"] and len(second["messages"]) == 6
    out = capsys.readouterr().out
    assert out == "".join("".join(server.pieces) + "\n" for _ in range(2))  # answers, and nothing else


def test_the_energy_of_a_server_is_not_ours(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(monkeypatch, "hello\n/energy\n", server.url) == 0
    assert "ask it for energy with include_energy" in " ".join("".join(capsys.readouterr()).split())


def test_the_energy_of_answers(
    chat_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(monkeypatch, "/energy\nhello\nagain\n/energy\n", str(chat_model), "--max-new-tokens", "4") == 0
    output = " ".join("".join(capsys.readouterr()).split())
    assert "There is no answer yet." in output
    assert "The latest answer drew " in output and "All answers: energy: " in output and "CO2e" in output


def test_completions_are_commands_and_settings() -> None:
    assert {"/load", "/set temperature", "/set max-new-tokens"} <= set(completions())
