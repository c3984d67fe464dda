"""Health and metrics."""

import httpx2 as httpx

from tests.server.tiny_server import Server


def test_health_and_metrics(server: Server) -> None:
    assert httpx.get(server.url + "/health").status_code == httpx.get(server.url + "/ready").status_code == 200
    text = httpx.get(server.url + "/metrics").text
    assert 'vllm:generation_tokens_total{model_name="tiny"}' in text
