"""Labels from a model without a classification head."""

import httpx2 as httpx
import pytest

from tests.server.tiny_server import Server


def test_a_language_model_chooses_among_the_labels(server: Server) -> None:
    response = httpx.post(
        server.url + "/v1/classify", json={"input": ["the fox", "dogs"], "labels": ["lazy", "quick"]}
    ).json()
    assert [sum(entry["probs"]) for entry in response["data"]] == pytest.approx([1, 1])
    assert {entry["label"] for entry in response["data"]} <= {"lazy", "quick"}


def test_a_label_is_given_once(server: Server) -> None:
    response = httpx.post(server.url + "/v1/classify", json={"input": "the fox", "labels": ["a", "b", "a"]})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "labels") and "'a' more than once" in error["message"]
