from pathlib import Path

import pytest

from lmcraft.runs import control
from lmcraft.runs.index import RunIndex
from lmcraft.server.http.keys import Keys
from tests.runs.written_run import WrittenRun, holding_lock
from tests.server.http.routes.runs_app import client_of


@pytest.fixture
def run(tmp_path: Path) -> WrittenRun:
    written = WrittenRun(tmp_path / "a")
    written.checkpoint(3)
    return written


@pytest.mark.parametrize("action", ["stop", "resume"])
@pytest.mark.parametrize("name", ["nora", "adam"])
def test_only_owners_stop_and_resume(
    run: WrittenRun, action: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(control, action, lambda run: pytest.fail("it was done"))
    client = client_of(RunIndex(tmp_path), name)
    client.get("/api/runs")
    response = client.post(f"/api/runs/a/{action}")
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "role_needed" and response.json()["error"]["values"] == {"role": "owner"}


@pytest.mark.parametrize(("name", "may"), [("nora", False), ("adam", False), ("olga", True)])
def test_only_owners_are_offered_to_resume(run: WrittenRun, name: str, may: bool, tmp_path: Path) -> None:
    [described] = client_of(RunIndex(tmp_path), name).get("/api/runs").json()["runs"]
    assert described["can_resume"] is may and described["can_stop"] is False


def test_an_owner_stops_a_run(run: WrittenRun, tmp_path: Path) -> None:
    client = client_of(RunIndex(tmp_path))
    with holding_lock(run.path) as process:
        [described] = client.get("/api/runs").json()["runs"]
        assert described["state"] == "running" and described["can_stop"]
        response = client.post("/api/runs/a/stop")
        assert (response.status_code, response.json()) == (202, {"pid": process.pid})
        assert process.wait(20) == 0


def test_whoever_uses_a_server_without_keys_is_its_owner(
    run: WrittenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "resume", lambda run: 17)
    client = client_of(RunIndex(tmp_path), "", Keys())
    assert client.post("/api/runs/a/resume").json() == {"pid": 17}  # though nobody has listed the runs
    assert client.post("/api/runs/b/resume").status_code == 404


@pytest.mark.parametrize(("action", "code"), [("stop", "run_not_running"), ("resume", "no_checkpoint")])
def test_what_is_not_possible_is_a_conflict(tmp_path: Path, action: str, code: str) -> None:
    WrittenRun(tmp_path / "a")
    client = client_of(RunIndex(tmp_path))
    client.get("/api/runs")
    response = client.post(f"/api/runs/a/{action}")
    assert response.status_code == 409 and response.json()["error"]["code"] == code
