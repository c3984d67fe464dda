"""A fine-tuned classifier behind /v1/classify and /v1/moderations."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
import torch

from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.finetuning.tuned_model import snapshot
from lmcraft.model.storage import build_model
from lmcraft.model_source import open_model
from tests.finetuning.chat import chat_folder
from tests.server.tiny_server import Server, running

LABELS = Labels(("safe", "rude", "violent"), pooling="mean")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, out = chat_folder(tmp_path_factory.mktemp("base")), tmp_path_factory.mktemp("classifier")
    with open_model(base) as source:
        model = build_model(source.checkpoint, dtype=torch.float32)
        torch.manual_seed(0)
        add_head(model, len(LABELS.names))
        snapshot(model, MethodConfig(name="full"), str(base), source.tokenizer, source.eos_token_ids, LABELS)(out)
    LABELS.save(out)
    return out


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), moderation=folder) as server:
        yield server


def test_labels_and_categories_are_the_classifiers(served: Server, folder: Path) -> None:
    client = openai.OpenAI(base_url=served.url + "/v1", api_key="none")
    texts = ["the fox", "the lazy dog jumps"]
    expected = Classifier.load(folder).probabilities(texts)
    response = client.post("/classify", body={"model": "moderation", "input": texts}, cast_to=object)
    for entry, probabilities in zip(response["data"], expected, strict=True):
        assert dict(zip(entry["labels"], entry["probs"], strict=True)) == pytest.approx(probabilities)
        assert entry["label"] == max(probabilities, key=probabilities.__getitem__)
    results = client.moderations.create(input=texts).results
    for result, probabilities in zip(results, expected, strict=True):
        assert result.flagged == (max(probabilities, key=probabilities.__getitem__) != "safe")
        assert result.category_scores.model_dump(exclude_none=True) == pytest.approx(
            {k: probabilities[k] for k in ("rude", "violent")}
        )
    with pytest.raises(openai.BadRequestError, match="a classifier, which writes no text"):
        client.chat.completions.create(model="moderation", messages=[{"role": "user", "content": "hi"}])


def test_a_server_without_a_moderation_model(server: Server) -> None:
    response = httpx.post(server.url + "/v1/moderations", json={"input": "a"})
    assert response.status_code == 404 and "--moderation" in response.json()["error"]["message"]
    response = httpx.post(server.url + "/v1/moderations", json={"input": "a", "model": "tiny"})
    assert response.status_code == 400 and "no classification head" in response.json()["error"]["message"]
