"""/v1/moderations with a policy of the server, and with lmcraft's own."""

from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest

from lmcraft.moderation.categories import CATEGORIES, all_labels
from lmcraft.moderation.judge_process import JudgeProcess
from tests.server.moderation.guarded_server import guarded_server
from tests.server.tiny_server import Server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with guarded_server(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def test_openais_client_reads_the_results(guarded: Server) -> None:
    client = openai.OpenAI(base_url=guarded.url + "/v1", api_key="none")
    response = client.moderations.create(input=["refuse it", "fine"], model="omni-moderation-latest")
    harmful, harmless = response.results
    assert harmful.flagged and harmful.categories.violence and harmful.category_scores.violence == 0.9
    assert not harmful.categories.hate and harmful.category_applied_input_types.violence == ["text"]
    assert not harmless.flagged and not any(harmless.categories.model_dump().values())
    assert set(harmless.categories.model_dump(by_alias=True)) >= set(all_labels("openai"))


def test_the_decision_and_our_categories_are_beside_them(guarded: Server) -> None:
    body = {"input": [{"type": "text", "text": "a flag"}, {"type": "text", "text": "b"}], "stage": "training"}
    response = httpx.post(guarded.url + "/v1/moderations", json=body).json()
    [result] = response["results"]
    assert response["model"].startswith("scripted 1 (") and result["flagged"]
    own = result["lmcraft"]
    assert own["categories"].keys() == own["category_scores"].keys() == CATEGORIES.keys() and own["categories"]["spam"]
    assert own["decision"]["stage"] == "training" and own["decision"]["action"] == "flag"


def test_a_text_that_cannot_be_judged_is_flagged(guarded: Server) -> None:
    result = httpx.post(guarded.url + "/v1/moderations", json={"input": "crash"}).json()["results"][0]
    assert result["flagged"] and result["lmcraft"]["decision"]["failed"]


def test_a_server_without_a_policy_has_a_judge_from_the_first_request_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[None] = []
    monkeypatch.setattr(JudgeProcess, "start", lambda judge: starts.append(None))
    monkeypatch.setattr("lmcraft.moderation.judge_process.RESTART_WAIT_SECONDS", 0.01)
    response = httpx.post(server.url + "/v1/moderations", json={"input": "a"}).json()
    assert response["model"].startswith("default ") and starts
