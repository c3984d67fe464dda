import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lmcraft.runs.index import RunIndex
from tests.runs.written_run import WrittenRun
from tests.server.http.routes.runs_app import client_of

NAME = 'a/b?#%2F é"<運行>'


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    written = WrittenRun(tmp_path / NAME, settings='[optimizer]\nname = "muon"\n')
    written.log_steps(1, 30, eval_every=10)
    return written


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return client_of(RunIndex(tmp_path), "nora")


def run_id(client: TestClient) -> str:
    [run] = client.get("/api/runs").json()["runs"]
    return str(run["id"])


def test_any_key_reads_the_list_and_what_has_changed(run: WrittenRun, client: TestClient) -> None:
    answer = client.get("/api/runs").json()
    assert answer["complete"] and [run["name"] for run in answer["runs"]] == [NAME]
    again = client.get("/api/runs", params={"after": answer["cursor"], "wait": 0}).json()
    assert (again["cursor"], again["complete"], again["runs"]) == (answer["cursor"], False, [])
    run.log_steps(31, 32)
    changed = client.get("/api/runs", params={"after": answer["cursor"], "wait": 20}).json()
    assert [run["step"] for run in changed["runs"]] == [32]


def test_an_id_works_escaped_once_more_or_not(run: WrittenRun, client: TestClient) -> None:
    id = run_id(client)
    for address in (id, quote(id, safe="")):
        assert client.get(f"/api/runs/{address}/config").json()["settings"]["optimizer.name"] == "muon"


def test_curves_come_whole_in_buckets_or_from_a_step_on(run: WrittenRun, client: TestClient) -> None:
    address = f"/api/runs/{run_id(client)}/series"
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    whole = client.get(address).json()
    for name in ("loss", "tokens", "validation_loss"):
        expected = {row["step"]: row[name] for row in rows if name in row}
        curve = whole["series"][name]
        assert dict(zip(curve["steps"], curve["mean"], strict=True)) == expected
        assert curve["low"] == curve["high"] == curve["mean"]
    few = client.get(address, params={"names": "loss,nothing", "points": 3}).json()
    assert few["series"].keys() == {"loss"} and few["series"]["loss"]["steps"] == [10, 20, 30]
    assert few["names"] == whole["names"]
    part = {"names": "loss", "from": 4, "to": 6}
    assert client.get(address, params=part).json()["series"]["loss"]["steps"] == [4, 5, 6]
    run.log_steps(31, 31)
    new = {"names": "loss", "after_step": whole["last_step"], "revision": whole["revision"]}
    assert client.get(address, params=new).json()["series"]["loss"]["steps"] == [31]


@pytest.mark.parametrize("part", ["series", "samples", "config"])
def test_a_run_is_found_before_the_list_was_read_and_after_it(client: TestClient, tmp_path: Path, part: str) -> None:
    for name in ("first", "later"):
        WrittenRun(tmp_path / name)
        assert client.get(f"/api/runs/{name}/{part}").status_code == 200


def test_samples_come_in_pages(run: WrittenRun, client: TestClient) -> None:
    (run.files / "samples.jsonl").write_text("".join(json.dumps({"step": n, "text": f"é{n}"}) + "\n" for n in range(5)))
    address = f"/api/runs/{run_id(client)}/samples"
    first = client.get(address, params={"limit": 3}).json()
    assert [sample["text"] for sample in first["samples"]] == ["é4", "é3", "é2"]
    rest = client.get(address, params={"limit": 3, "before": first["before"]}).json()
    assert rest == {"samples": [{"step": 1, "text": "é1"}, {"step": 0, "text": "é0"}], "before": None}


def test_settings_are_compared(run: WrittenRun, client: TestClient, tmp_path: Path) -> None:
    WrittenRun(tmp_path / "other", settings='[optimizer]\nname = "adamw"\n')
    ids = [run["id"] for run in client.get("/api/runs").json()["runs"]]
    settings = client.post("/api/runs/compare", json={"ids": ids}).json()["settings"]
    assert {row["name"] for row in settings if row["differs"]} == {"out", "optimizer.name"}
    assert client.post("/api/runs/compare", json={"ids": ["x"]}).status_code == 404


@pytest.mark.parametrize("address", ["x", "..", "../x", "..%2F..%2Fetc", "%00", "~00", "~ZZ", "a" * 5000])
@pytest.mark.parametrize("part", ["series", "samples", "config"])
def test_what_is_no_run_is_not_found(client: TestClient, tmp_path: Path, address: str, part: str) -> None:
    WrittenRun(tmp_path.parent / f"{tmp_path.name} x")
    assert client.get(f"/api/runs/{address}/{part}").status_code == 404


@pytest.mark.parametrize("query", ["points=0", "points=999999", "after_step=-1", "from=x", "revision=x"])
def test_queries_are_checked(run: WrittenRun, client: TestClient, query: str) -> None:
    response = client.get(f"/api/runs/{run_id(client)}/series?{query}")
    assert response.status_code == 400 and query.partition("=")[0] in response.text


def test_a_server_without_runs_says_so(tmp_path: Path) -> None:
    response = client_of(None).get("/api/runs")
    assert response.status_code == 404 and response.json()["error"]["code"] == "no_runs"


def test_a_wait_ends_without_a_change(run: WrittenRun, client: TestClient) -> None:
    cursor = client.get("/api/runs").json()["cursor"]
    begin = time.monotonic()
    assert client.get("/api/runs", params={"after": cursor, "wait": 0.2}).json()["runs"] == []
    assert time.monotonic() - begin >= 0.2
