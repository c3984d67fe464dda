"""A fine-tuned classifier behind /v1/classify."""

from collections.abc import Iterator
from pathlib import Path

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
    with running(tmp_path_factory.mktemp("server"), classifier=folder) as server:
        yield server


def test_labels_are_the_classifiers(served: Server, folder: Path) -> None:
    client = openai.OpenAI(base_url=served.url + "/v1", api_key="none")
    texts = ["the fox", "the lazy dog jumps"]
    expected = Classifier.load(folder).probabilities(texts)
    response = client.post("/classify", body={"model": "classifier", "input": texts}, cast_to=object)
    for entry, probabilities in zip(response["data"], expected, strict=True):
        assert dict(zip(entry["labels"], entry["probs"], strict=True)) == pytest.approx(probabilities)
        assert entry["label"] == max(probabilities, key=probabilities.__getitem__)
    with pytest.raises(openai.BadRequestError, match="a classifier, which writes no text"):
        client.chat.completions.create(model="classifier", messages=[{"role": "user", "content": "hi"}])


def test_below_the_threshold_there_is_no_label(served: Server) -> None:
    body = {"model": "classifier", "input": ["the fox", "the lazy dog jumps"]}
    client = openai.OpenAI(base_url=served.url + "/v1", api_key="none")
    entries = client.post("/classify", body={**body, "threshold": 1}, cast_to=object)["data"]
    assert [entry["label"] for entry in entries] == [None, None] and len(entries[0]["probs"]) == 3
    assert client.post("/classify", body={**body, "threshold": 0}, cast_to=object)["data"][0]["label"]
    with pytest.raises(openai.BadRequestError, match="threshold"):
        client.post("/classify", body={**body, "threshold": 1.5}, cast_to=object)
