import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.cli import main
from lmcraft.commands.serve import ServeConfig, _open_reviews, _read_keys
from lmcraft.errors import UserError
from lmcraft.server.conversations.store import Store
from lmcraft.server.limits import Limits
from tests.finetuning.chat import chat_folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "model is empty.* or set --reviews FILE"),
        ({"reviews": "none"}, "model is empty"),
        ({"model": ("m",), "port": 70_000}, "port=70000"),
        ({"model": ("m",), "upstream": "http://x"}, "give --engine vllm and --upstream URL"),
        ({"model": ("m",), "upstream": "http://x", "engine": "vllm"}, "cannot both be served"),
        ({"model": ("m",), "limits": Limits(max_queue=0)}, "max_queue=0 must be greater than 0"),
        ({"new_api_key": "ada"}, "--api-keys"),
        ({"model": ("m",), "role": "reviewer"}, "role=reviewer is that of a new key; add --new-api-key NAME"),
        ({"model_root": Path("r"), "adapters": {"a": "b"}}, "adapters need the model"),
        ({"model": ("m",), "scrub_prompts": False}, "add --log-prompts FILE"),
        ({"model": ("m",), "retention": "5s"}, "retention=5s is too short"),
        ({"model": ("m",), "retention": "30"}, "not a duration with its unit: write 12h or 30d"),
    ],
)
def test_contradicting_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ServeConfig(**settings).resolved()


def test_a_key_is_generated_unless_the_host_is_loopback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCRAFT_API_KEY", raising=False)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert not _read_keys(ServeConfig(("m",), host=host))
    assert capsys.readouterr().err == ""
    keys = _read_keys(ServeConfig(("m",), host="0.0.0.0"))
    key = capsys.readouterr().err.split()[-1]
    assert keys.identify({"authorization": f"Bearer {key}"}) == "default"
    assert _read_keys(ServeConfig(("m",), host="0.0.0.0", api_key=("lmc-mine",)))
    assert capsys.readouterr().err == ""


def test_a_new_key_is_stored_as_a_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.toml"
    assert main(["serve", "--api-keys", str(file), "--new-api-key", "ada", "--role", "reviewer"]) == 0
    key = capsys.readouterr().out.strip()
    assert key not in file.read_text()
    keys = _read_keys(ServeConfig(("m",), api_keys=file))
    assert keys.identify({"authorization": f"Bearer {key}"}) == "ada" and keys.role_of("ada") == "reviewer"


def test_reviews_are_opened_with_the_guideline_of_the_server(tmp_path: Path) -> None:
    config = ServeConfig(reviews=str(tmp_path / "new" / "reviews.sqlite"), review_anchors=tmp_path / "anchors").resolved()
    for _ in range(2):
        reviews = _open_reviews(config)
        assert reviews is not None
        assert [(guideline.name, guideline.version) for guideline in reviews.guidelines()] == [("harm", 1)]
        reviews.close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert len((tmp_path / "anchors").read_text().splitlines()) == 1


def test_the_default_reviews_are_for_what_the_server_sends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".local" / "share" / "lmcraft" / "reviews.sqlite"
    assert _open_reviews(ServeConfig(("m",), store="none")) is None and not file.exists()
    assert _open_reviews(ServeConfig(("m",), reviews="none", policy="default")) is None
    with pytest.raises(UserError, match="review_anchors=a needs reviews; set --reviews FILE"):
        _open_reviews(ServeConfig(("m",), reviews="none", review_anchors=Path("a")))
    reviews = _open_reviews(ServeConfig(("m",), store="none", policy="default"))
    assert reviews is not None and file.stat().st_mode & 0o777 == 0o600
    reviews.close()


@pytest.mark.parametrize("location", ["folder", "file/reviews.sqlite", "chats.sqlite", "mysql://x/y"])
def test_reviews_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    Store.open(tmp_path / "chats.sqlite").close()
    with pytest.raises(UserError, match="reviews"):
        _open_reviews(ServeConfig(reviews=location))


@pytest.mark.slow
def test_sigterm_lets_a_running_request_finish(tmp_path: Path) -> None:
    """A process started as by a user gets SIGTERM in the middle of an answer; it finishes the answer and exits with 0."""
    folder = chat_folder(tmp_path / "tiny", max_position_embeddings=2048, num_hidden_layers=8)
    command = [
        sys.executable,
        "-m",
        "lmcraft",
        "serve",
        str(folder),
        "--port",
        "0",
        "--store",
        str(tmp_path / "chats.sqlite"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"LMCRAFT_API_KEY": "lmc-k"})
    watch = threading.Timer(120, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        body = {"messages": [{"role": "user", "content": "the fox"}], "max_tokens": 1500, "ignore_eos": True, "stream": True}
        headers = {"Authorization": "Bearer lmc-k"}
        with httpx.stream("POST", url + "/v1/chat/completions", json=body, headers=headers, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            lines_after = [line for line in lines if line]
        assert lines_after[-1] == "data: [DONE]"
        last = json.loads(lines_after[-2].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "length"
        assert process.wait(60) == 0
    finally:
        watch.cancel()
        process.kill()
