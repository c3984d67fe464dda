"""The endpoints of the page's feedback view."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.tiny_server import running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    import httpx2

    folder: Path = tmp_path_factory.mktemp("server")
    with running(folder) as server, httpx2.Client(base_url=server.url) as http:
        yield http  # type: ignore[misc]


def test_feedback_is_listed_undone_and_downloaded(client: TestClient) -> None:
    assert client.get("/api/feedback/files/preferences.jsonl").status_code == 404
    conversation = client.post("/api/conversations", json={"title": "Sky"}).json()["id"]
    address = f"/api/conversations/{conversation}/messages"
    question = client.post(address, json={"role": "user", "content": "why?", "parent": None}).json()["id"]
    left, right = (
        client.post(address, json={"role": "assistant", "content": text, "parent": question, "model": text}).json()["id"]
        for text in ("left", "right")
    )
    pick = client.post("/api/preferences", json={"chosen": right, "rejected": left}).json()["id"]
    client.put(f"/api/messages/{left}/rating", json={"rating": 1, "reason": "kind"})
    assert [item["kind"] for item in client.get("/api/feedback").json()["data"]] == ["pick", "rating"]
    assert client.get("/api/feedback", params={"kind": "pick"}).json()["data"][0]["id"] == pick
    summary = client.get("/api/feedback/summary").json()
    assert summary["good"] == 1 and summary["models"][0]["picked_second"] == 1
    download = client.get("/api/feedback/files/preferences.jsonl")
    assert json.loads(download.text)["chosen"] == [{"role": "assistant", "content": "right"}]
    assert "preferences.jsonl" in download.headers["content-disposition"]
    assert "kind" in client.get("/api/feedback/files/labels.csv").text
    assert client.delete(f"/api/preferences/{pick}").json()["deleted"] is True
    assert client.get("/api/feedback", params={"kind": "pick"}).json()["data"] == []
    assert client.get("/api/feedback/files/secrets").status_code == 400
    assert client.get("/api/feedback", params={"limit": 0}).status_code == 400
