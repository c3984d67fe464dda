"""Health and metrics."""

import json

import httpx2 as httpx

from lmcraft.inference.generation_settings import panel_settings
from tests.server.tiny_server import Server


def test_health_and_metrics(server: Server) -> None:
    assert httpx.get(server.url + "/health").status_code == httpx.get(server.url + "/ready").status_code == 200
    text = httpx.get(server.url + "/metrics").text
    assert 'vllm:generation_tokens_total{model_name="tiny"}' in text


def test_info_describes_the_settings_and_the_models_defaults(server: Server) -> None:
    info = httpx.get(server.url + "/api/info").json()
    assert info["settings"] == json.loads(json.dumps(panel_settings()))
    (model,) = info["models"]
    names = {setting["name"] for setting in info["settings"]}
    assert model["defaults"].keys() <= names and names - model["defaults"].keys() == {"max_tokens"}
    assert model["defaults"]["dry_base"] == 1.75 and model["defaults"]["seed"] is None
