"""The energy of answers in each endpoint's own form, and of all of them together."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.server.engine.test_worker import wait_until
from tests.server.tiny_server import Server, running

HELLO = [{"role": "user", "content": "the quick brown fox"}]
FIELDS = {"joules", "low", "high", "method", "grams_co2e", "region", "year"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 8},
    "/v1/completions": {"prompt": "the fox", "max_tokens": 8},
    "/v1/responses": {"input": "the fox", "max_output_tokens": 8},
    "/v1/messages": {"messages": HELLO, "max_tokens": 8},
}


def post(server: Server, path: str, **body: Any) -> Any:
    return httpx.post(server.url + path, json={**BODIES[path], **body}, timeout=60)


def usages(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The usages in the events of a stream."""
    for line in answer.text.splitlines():
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if usage := (event.get("response") or event.get("message") or event).get("usage"):
                yield usage


def counted(server: Server) -> float:
    lines = httpx.get(server.url + "/metrics").text.splitlines()
    [value] = [
        line.rpartition(" ")[2] for line in lines if line.startswith('lmcraft:energy_joules_total{model_name="tiny"}')
    ]
    return float(value)


@pytest.mark.parametrize("path", BODIES)
def test_energy_is_in_the_usage_when_asked(server: Server, path: str) -> None:
    assert "energy" not in post(server, path).json()["usage"]
    energy = post(server, path, include_energy=True).json()["usage"]["energy"]
    assert set(energy) == FIELDS and 0 < energy["low"] <= energy["joules"] <= energy["high"]
    assert energy["grams_co2e"] > 0 and energy["region"] and energy["year"] > 2000 and energy["method"]


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_ends_with_the_energy(server: Server, path: str) -> None:
    reported = list(usages(post(server, path, include_energy=True, stream=True)))
    assert set(reported[-1]["energy"]) == FIELDS and reported[-1]["energy"]["joules"] > 0
    assert all("energy" not in usage for usage in usages(post(server, path, stream=True)))


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("value", ["yes", 1, 0, [True], {}])
def test_another_type_is_refused(server: Server, path: str, value: Any) -> None:
    answer = post(server, path, include_energy=value)
    text = f"include_energy={json.dumps(value)}".replace('"', "'")
    assert answer.status_code == 400 and f"{text} is invalid; use true or false" in answer.text


def test_null_and_false_ask_for_nothing(server: Server) -> None:
    for value in (None, False):
        answer = post(server, "/v1/chat/completions", include_energy=value)
        assert answer.status_code == 200 and "energy" not in answer.json()["usage"]


def test_usage_in_every_chunk_has_the_energy_so_far(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    answer = post(server, "/v1/chat/completions", include_energy=True, stream=True, stream_options=options)
    joules = [usage["energy"]["joules"] for usage in usages(answer)]
    assert joules == sorted(joules) and joules[-1] > 0


def test_answers_at_once_share_what_was_drawn(server: Server) -> None:
    """All answers ask for their energy, and together they report what the worker drew."""
    wait_until(lambda: server.state.registry.energy._latest is None)  # the engine rests
    before, answers = counted(server), list[dict[str, Any]]()

    def ask(number: int) -> None:
        path = list(BODIES)[number % 4]
        answers.append(post(server, path, include_energy=True, ignore_eos=True, temperature=1.0).json()["usage"]["energy"])

    threads = [threading.Thread(target=ask, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer["joules"] for answer in answers) == pytest.approx(counted(server) - before, rel=1e-4)


def test_info_has_the_energy_of_a_thousand_answers(server: Server) -> None:
    post(server, "/v1/completions")
    wait_until(lambda: server.state.registry.energy._latest is None)
    energy = httpx.get(server.url + "/api/info").json()["energy"]
    assert energy["answers"] >= 1 and 0 <= energy["share_wasted"] <= 1 and set(energy) > FIELDS
    figure = energy["wh_per_1000_answers"]
    assert 0 < figure["low"] <= figure["value"] <= figure["high"]
    assert httpx.get(server.url + "/api/info").json()["energy"] == energy  # idle time adds nothing


def test_an_answer_that_the_client_leaves_is_wasted(server: Server) -> None:
    before = server.state.registry.energy.summary()
    body = {**BODIES["/v1/completions"], "max_tokens": 400, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", server.url + "/v1/completions", json=body) as answer:
        next(answer.iter_lines())
    wait_until(lambda: server.state.registry.energy.summary()["share_wasted"] > before["share_wasted"])
    assert server.state.registry.energy.summary()["answers"] == before["answers"]


def test_a_gateway_says_that_it_cannot_know(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("gateway"), upstream=server.url) as gateway:
        assert httpx.get(gateway.url + "/api/info").json()["energy"] is None
        for path in BODIES:
            answer = post(gateway, path, include_energy=True)
            assert answer.status_code == 400 and "cannot know what the engine behind it draws" in answer.text
        assert "include_energy='no' is invalid" in post(gateway, "/v1/completions", include_energy="no").text
        assert "energy" not in post(gateway, "/v1/completions", include_energy=False).json()["usage"]
