"""GGUF files of every architecture, written once per module."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.gguf.container import GGUFFile


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GGUFFile]:
    """One file of each architecture, opened anew."""
    pytest.importorskip("gguf")
    from tests.gguf.test_models import original, written  # needs transformers

    paths: dict[str, Path] = {}

    def opened(name: str) -> GGUFFile:
        if name not in paths:
            paths[name] = written(original(name), tmp_path_factory.mktemp(name))
        return GGUFFile(paths[name])

    return opened
