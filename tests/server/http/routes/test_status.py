"""Info, health and metrics; the same addresses for local models and for a gateway."""

import json
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from lmcraft.inference.generation_settings import panel_settings
from lmcraft.server.http.keys import Keys
from tests.server.tiny_server import CONTEXT, Server, running

KEY = "lmc-" + "k" * 40
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module", params=["local", "gateway"])
def server_with_key(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    upstream = server.url if request.param == "gateway" else ""
    with running(tmp_path_factory.mktemp("server"), keys=Keys.read([KEY]), upstream=upstream) as running_server:
        yield running_server


def test_info_has_the_models_only_with_a_valid_key(server_with_key: Server) -> None:
    address = server_with_key.url + "/api/info"
    public_info = httpx.get(address).json()
    assert set(public_info) == {"version", "key_required", "store", "reports", "runs"} and public_info["key_required"]
    assert httpx.get(address, headers={"Authorization": "Bearer wrong"}).json() == public_info
    info = httpx.get(address, headers=HEADERS).json()
    assert set(info) == {*public_info, "models", "settings", "scope", "energy", "prompt_log", "retention"}
    [model] = info["models"]
    assert (model["id"], model["kind"], model["context"]) == ("tiny", "chat", CONTEXT)


def test_health_needs_no_key_and_metrics_do(server_with_key: Server) -> None:
    url = server_with_key.url
    assert httpx.get(url + "/health").json() == {"status": "ok"}
    assert httpx.get(url + "/ready").json() == {"status": "ready"}
    assert httpx.get(url + "/metrics").status_code == 401
    metrics = httpx.get(url + "/metrics", headers=HEADERS)
    assert 'lmcraft:requests_refused_total{status="401"}' in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_models_are_listed_by_both(server_with_key: Server) -> None:
    url = server_with_key.url + "/v1/models"
    assert [model["id"] for model in httpx.get(url, headers=HEADERS).json()["data"]] == ["tiny"]
    assert httpx.get(url + "/tiny", headers=HEADERS).json()["max_model_len"] == CONTEXT
    assert httpx.get(url + "/other", headers=HEADERS).status_code == 404


def test_the_metrics_of_local_models_start_at_zero(server: Server) -> None:
    assert 'vllm:generation_tokens_total{model_name="tiny"} 0' in httpx.get(server.url + "/metrics").text


def test_info_describes_the_settings_and_the_models_defaults(server: Server) -> None:
    info = httpx.get(server.url + "/api/info").json()
    assert info["settings"] == json.loads(json.dumps(panel_settings()))
    (model,) = info["models"]
    names = {setting["name"] for setting in info["settings"]}
    assert model["defaults"].keys() <= names and names - model["defaults"].keys() == {"max_tokens"}
    assert model["defaults"]["dry_base"] == 1.75 and model["defaults"]["seed"] is None
