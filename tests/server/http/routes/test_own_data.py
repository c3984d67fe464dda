"""`/api/data`: everything of one key, exported and erased over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from lmcraft.server.http.keys import Keys, add_to_file
from tests.server.tiny_server import Server, running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("keyed")
    file = folder / "keys.toml"
    secrets = {name: add_to_file(file, name) for name in ("ada", "ben")}
    with running(
        folder, keys=Keys.read(file=file), log_prompts=lambda text: text.replace("s3cret", "[X]"), retention=60.0
    ) as server:
        yield server, folder, secrets


def client_of(keyed: tuple[Server, Path, dict[str, str]], name: str) -> httpx.Client:
    server, _, secrets = keyed
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {secrets[name]}"}, timeout=60)


def send(client: httpx.Client) -> None:
    """Store something of each kind."""
    conversation = client.post("/api/conversations", json={"title": "s3cret"}).json()["id"]
    client.post(f"/api/conversations/{conversation}/messages", json={"role": "user", "content": "s3cret"})
    for path, body in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "s3cret"}], "store": True}),
        ("/v1/responses", {"input": "s3cret", "max_output_tokens": 2}),
        ("/v1/completions", {"prompt": "s3cret", "max_tokens": 2}),
    ):
        limit = {"max_tokens": 2} if "chat" in path else {}
        assert client.post(path, json={"model": "tiny", **body, **limit}).status_code == 200


def test_one_key_exports_and_erases_its_own_data_only(keyed: tuple[Server, Path, dict[str, str]]) -> None:
    log = keyed[1] / "prompts.jsonl"
    with client_of(keyed, "ada") as ada, client_of(keyed, "ben") as ben:
        for client in (ada, ben):
            send(client)
        assert ada.get("/api/info").json().items() >= {"prompt_log": "scrubbed", "retention": 60.0}.items()
        deleted = {"conversations": 1, "messages": 1, "preferences": 0, "responses": 2, "logged prompts": 3}
        assert ada.delete("/api/data").json() == {"deleted": deleted}
        empty = ada.get("/api/data").json()
        assert (empty["conversations"]["conversations"], empty["responses"], empty["logged_prompts"]) == ([], [], [])
        whole = ben.get("/api/data").json()
    assert len(whole["conversations"]["conversations"]) == 1
    assert (len(whole["responses"]), len(whole["logged_prompts"])) == (2, 3)
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert {entry["key"] for entry in entries} == {"ben"}
    assert "s3cret" not in log.read_text(encoding="utf-8")
    assert "[X]" in log.read_text(encoding="utf-8")


def test_without_a_key_there_is_no_data(keyed: tuple[Server, Path, dict[str, str]]) -> None:
    for method in ("GET", "DELETE"):
        assert httpx.request(method, f"{keyed[0].url}/api/data").status_code == 401


def test_other_endpoints_are_not_logged(keyed: tuple[Server, Path, dict[str, str]]) -> None:
    log = keyed[1] / "prompts.jsonl"
    with client_of(keyed, "ada") as ada:
        before = log.read_text(encoding="utf-8")
        ada.post("/v1/none/s3cret", json={"prompt": "s3cret"})
        ada.post("/api/conversations", json={"title": "s3cret"})
        ada.get("/v1/models")
        ada.delete("/api/data")
    assert log.read_text(encoding="utf-8") == before
