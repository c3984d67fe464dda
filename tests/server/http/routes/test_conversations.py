"""The conversation endpoints: the contract with the chat page, and hostile requests."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lmcraft import database
from lmcraft.server.conversations.store import Store
from lmcraft.server.engine.preparation import PreparationThreads
from lmcraft.server.http import error_handlers
from lmcraft.server.http.routes.conversations import router
from lmcraft.server.limits import Limits

Json = dict[str, Any]


def app_with(store: Store | None) -> TestClient:
    """An application of this router alone; the API key is the owner's name."""

    app = FastAPI()
    app.state.store = store
    app.state.server = SimpleNamespace(preparation=PreparationThreads(Limits(), lambda owner: False))

    @app.middleware("http")
    async def identify(request: Request, call_next: Any) -> Any:
        request.state.owner = request.headers.get("authorization", "")
        return await call_next(request)

    error_handlers.install(app)
    app.include_router(router)
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    store = Store.open(tmp_path / "chats.sqlite")
    yield app_with(store)
    store.close()


def create_conversation(client: TestClient) -> tuple[Json, Json, list[Json]]:
    """Create a conversation with a question and two answers."""
    conversation = client.post("/api/conversations", json={"title": "Sky", "system": "Be brief."}).json()
    address = f"/api/conversations/{conversation['id']}/messages"
    question = client.post(address, json={"role": "user", "content": "why?", "parent": None}).json()
    answers = [{"role": "assistant", "content": text, "parent": question["id"]} for text in ("left", "right")]
    return conversation, question, [client.post(address, json=body).json() for body in answers]


def test_the_life_of_a_conversation(client: TestClient) -> None:
    conversation, question, (left, right) = create_conversation(client)
    fields = {"id", "parent", "role", "content", "model", "edited_from", "details", "created", "rating", "reason"}
    assert set(left) == fields and left["parent"] == question["id"]
    rated = client.put(f"/api/messages/{left['id']}/rating", json={"rating": -1, "reason": "wrong"}).json()
    assert rated["rating"] == -1 and rated["reason"] == "wrong"
    picked = client.post("/api/preferences", json={"chosen": right["id"], "rejected": left["id"]})
    assert picked.status_code == 201 and picked.json()["chosen"] == right["id"]
    address = f"/api/conversations/{conversation['id']}"
    assert client.patch(address, json={"title": "Blue", "leaf": left["id"], "model": None}).json()["leaf"] == left["id"]
    conversation = client.get(address).json()
    assert conversation["title"] == "Blue" and [m["id"] for m in conversation["messages"]] == [
        question["id"],
        left["id"],
        right["id"],
    ]
    page = client.get("/api/conversations", params={"search": "RIGHT"}).json()
    assert set(page["data"][0]) == {"id", "title", "created", "updated", "model", "pinned"} and page["has_more"] is False
    assert client.get("/api/conversations", params={"before": page["data"][0]["updated"]}).json()["data"] == []
    assert client.delete(f"/api/messages/{question['id']}").json()["deleted"] is True
    assert client.get(address).json()["messages"] == []
    assert client.delete(address).json() == {"id": conversation["id"], "deleted": True}
    assert client.get(address).status_code == 404


def test_a_repeated_request_with_an_id_of_the_client_is_answered_alike(client: TestClient) -> None:
    conversation, message = "a" * 32, "b" * 32
    address = f"/api/conversations/{conversation}"
    for _ in range(2):
        assert client.post("/api/conversations", json={"id": conversation}).json()["id"] == conversation
        body = {"id": message, "role": "user", "content": "why?"}
        assert client.post(f"{address}/messages", json=body).json()["id"] == message
    assert len(client.get(address).json()["messages"]) == 1
    for path, changed in (("", {"id": conversation, "title": "x"}), (f"/{conversation}/messages", {**body, "content": "x"})):
        answer = client.post(f"/api/conversations{path}", json=changed)
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "id_taken"
    assert client.post("/api/conversations", json={"id": "A" * 32}).status_code == 400
    assert client.patch(address, json={"pair": [message]}).status_code == 400


def test_another_owner_sees_nothing(client: TestClient) -> None:
    conversation, question, (left, right) = create_conversation(client)
    other = {"headers": {"authorization": "bob"}}
    address = f"/api/conversations/{conversation['id']}"
    answers = [
        client.get(address, **other),
        client.patch(address, json={"title": "x"}, **other),
        client.delete(address, **other),
        client.post(f"{address}/messages", json={"role": "user", "content": "x", "parent": None}, **other),
        client.delete(f"/api/messages/{question['id']}", **other),
        client.put(f"/api/messages/{left['id']}/rating", json={"rating": 1}, **other),
        client.post("/api/preferences", json={"chosen": right["id"], "rejected": left["id"]}, **other),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["error"]["code"] for answer in answers} == {"not_found"}
    assert client.get("/api/conversations", **other).json()["data"] == []
    assert client.get("/api/export", **other).json()["conversations"] == []
    assert len(client.get(address).json()["messages"]) == 3


def without_ids(exported: Json) -> Json:
    """An export with every id replaced by the order of its first appearance."""
    ids: dict[str, int] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, list):
            return [plain(part) for part in value]
        return ids.setdefault(value, len(ids)) if isinstance(value, str) and len(value) == 32 else value

    renamed: Json = plain({**exported, "preferences": [{**pick, "id": ""} for pick in exported["preferences"]]})
    return renamed


def test_export_and_import_round_trip_under_new_ids(client: TestClient) -> None:
    conversation, question, (left, right) = create_conversation(client)
    edit = {
        "role": "assistant",
        "content": "天",
        "parent": question["id"],
        "edited_from": left["id"],
        "details": {"a": [None]},
    }
    client.post(f"/api/conversations/{conversation['id']}/messages", json={**edit, "details": {"a": [None]}})
    client.post("/api/preferences", json={"chosen": right["id"], "rejected": left["id"], "reason": "clear"})
    client.put(f"/api/messages/{right['id']}/rating", json={"rating": 1, "reason": "clear"})
    create_conversation(client)
    exported = client.get("/api/export").json()
    assert (exported["format"], exported["version"], len(exported["conversations"])) == ("lmcraft-conversations", 1, 2)
    other = {"headers": {"authorization": "bob"}}
    assert client.post("/api/import", json=exported, **other).json() == {"imported": 2}
    again = client.get("/api/export", **other).json()
    assert without_ids(again) == without_ids(exported)
    assert not {c["id"] for c in again["conversations"]} & {c["id"] for c in exported["conversations"]}


def test_transcripts_are_imported_as_chains(client: TestClient) -> None:
    turns = [("system", "Be brief."), ("user", "Why is\nthe sky blue?"), ("assistant", "Rayleigh."), ("user", "who?")]
    chats = [{"messages": [{"role": role, "content": content} for role, content in turns]}] * 2
    assert client.post("/api/import", json=chats).json() == {"imported": 2}
    conversation = client.get(f"/api/conversations/{client.get('/api/conversations').json()['data'][0]['id']}").json()
    assert (conversation["title"], conversation["system"]) == ("Why is the sky blue?", "Be brief.")
    assert [m["content"] for m in conversation["messages"]] == [content for _, content in turns[1:]]
    assert [m["parent"] for m in conversation["messages"]] == [None, *(m["id"] for m in conversation["messages"][:-1])]


EXPORT = {"format": "lmcraft-conversations", "version": 1, "conversations": [], "preferences": []}
MESSAGE = {"id": "1", "role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**EXPORT, "version": 2}, "version"),
        ({**EXPORT, "more": 1}, "more"),
        ({**EXPORT, "conversations": [{"messages": [MESSAGE, {**MESSAGE, "id": "2", "role": "tool"}]}]}, "role"),
        ({**EXPORT, "conversations": [{"messages": [MESSAGE, {**MESSAGE, "id": "2", "content": "\0"}]}]}, "content"),
        ({**EXPORT, "conversations": [{"messages": [MESSAGE, MESSAGE]}]}, "id"),
        ({**EXPORT, "conversations": [{"messages": [MESSAGE], "created": -1}]}, "created"),
        (
            {**EXPORT, "conversations": [{"messages": [MESSAGE]}], "preferences": [{"chosen": "1", "rejected": "1"}]},
            "chosen",
        ),
        ([{"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]}], "system"),
        ([{"messages": [{"role": "user", "content": "x"}]}, {"messages": []}], "messages"),
        ([{"messages": [{"role": "user"}]}], "content"),
        ("words", "body"),
    ],
)
def test_an_invalid_import_names_the_field_and_stores_nothing(client: TestClient, body: Any, field: str) -> None:
    answer = client.post("/api/import", json=body)
    assert answer.status_code == 400 and field in answer.json()["error"]["message"]
    assert client.get("/api/conversations").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"title": "a\\u0000b"}', 400),
        ('{"title": "a\\ud800b"}', 400),
        ('{"settings": {"a": "\\ud800"}}', 400),
        ('{"settings": {"a": NaN}}', 400),
        ('{"settings": {"a": 1e999}}', 400),
        ('{"settings": ' + '{"a":' * 900 + "1" + "}" * 901, 400),
        ('{"settings": ' + '{"a":' * 50_000 + "1" + "}" * 50_001, 400),
        ('{"settings": {"a": "' + "x" * 70_000 + '"}}', 400),
        ('{"title": "' + "x" * 201 + '"}', 400),
        ('{"titel": "x"}', 400),
        ('{"title": 5}', 400),
        ("[]", 400),
        ("{", 400),
        (b"\xff\xfe", 400),
        ('{"title": "%_\\\\\\u2028<script>", "settings": {"a": "\\u0000"}}', 201),
    ],
)
def test_hostile_bodies_are_refused_or_kept_exactly(client: TestClient, body: str | bytes, status: int) -> None:
    answer = client.post("/api/conversations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    if status == 201:
        conversation = client.get(f"/api/conversations/{answer.json()['id']}").json()
        assert {"title": conversation["title"], "settings": conversation["settings"]} == json.loads(body)
    else:
        assert answer.json()["error"]["message"] and client.get("/api/conversations").json()["data"] == []


@pytest.mark.parametrize("address", ["%00", "..%2f", "' OR '1'='1", "x" * 5000, "%ED%A0%80"])
def test_malformed_ids_are_not_found(client: TestClient, address: str) -> None:
    assert client.get(f"/api/conversations/{address}").status_code == 404
    assert client.delete(f"/api/messages/{address}").status_code == 404


def test_queries_are_bounded(client: TestClient) -> None:
    for query in ("limit=0", "limit=201", "before=nan", "before=x", f"search={'x' * 201}", "search=%00"):
        assert client.get(f"/api/conversations?{query}").status_code == 400, query


def test_a_server_without_a_store() -> None:
    answer = app_with(None).get("/api/conversations")
    assert answer.status_code == 404 and "keeps no conversations" in answer.json()["error"]["message"]


def test_a_locked_store_is_503_for_writers_and_still_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    client = app_with(Store.open(tmp_path / "chats.sqlite"))
    with closing(sqlite3.connect(tmp_path / "chats.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/api/conversations", json={})
        assert answer.status_code == 503 and "database is locked" in answer.json()["error"]["message"]
        assert client.get("/api/conversations").json()["data"] == []
        other.execute("ROLLBACK")
    assert client.post("/api/conversations", json={}).status_code == 201


@pytest.mark.parametrize("program", ["open-webui", "chatgpt", "llama.cpp"])
def test_exports_for_other_programs_are_imported_again(client: TestClient, program: str) -> None:
    transcript = [{"role": "user", "content": "6 x 7?"}, {"role": "assistant", "content": "42"}]
    client.post("/api/import", json=[{"messages": transcript}])
    exported = client.get("/api/export", params={"format": program}).json()
    assert client.post("/api/import", json=exported).json() == {"imported": len(exported)}
    assert client.post("/api/import", json=[exported[0], 7]).status_code == 400
    assert client.get("/api/export", params={"format": "word"}).status_code == 400
