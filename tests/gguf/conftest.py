"""GGUF files of every architecture, written once per module."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.gguf.container import GGUFFile


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GGUFFile]:
    """One file of each architecture, opened anew."""
    pytest.importorskip("gguf")
    from tests.gguf.test_models import random_model, write_model  # needs transformers

    paths: dict[str, Path] = {}

    def open_file(name: str) -> GGUFFile:
        if name not in paths:
            paths[name] = write_model(random_model(name), tmp_path_factory.mktemp(name))
        return GGUFFile(paths[name])

    return open_file
