"""Fixtures of the tests of inference."""

import pytest

from lmcraft.inference import scheduler


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts in chunks so short that a tiny model's prompts have several."""
    monkeypatch.setattr(scheduler, "PREFILL_CHUNK_TOKENS", 32)
