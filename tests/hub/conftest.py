"""Separate caches for every test, and a fake hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from tests.hub.fake_hub import FakeHub, Repo, serving

WEIGHTS = bytes(range(256)) * 2000  # half a megabyte: several chunks
MODEL = {
    "config.json": b'{"model_type": "gpt2"}',
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"---\nlicense: apache-2.0\n---\n",
    "LICENSE": b"Apache License",
    "pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"another format",
    "train.py": b"raise SystemExit",
}


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path / "lmcraft-cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf/hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf/token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one model, `some/model`, and no pauses between retries."""
    monkeypatch.setattr("lmcraft.hub.huggingface_download._MAX_PAUSE_SECONDS", 0)
    close_session()
    with serving({"some/model": Repo(dict(MODEL), revisions=("main", "v1.0", "refs/pr/1"))}) as fake:
        monkeypatch.setattr(constants, "ENDPOINT", fake.endpoint)
        template = fake.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield fake
    close_session()
