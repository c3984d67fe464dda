"""Without the optional package `gguf`, the error names it."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.gguf import read_gguf, write_gguf
from tests.gguf.test_models import random_model, write_model
from tests.inference.helpers import tokenizer


def test_a_missing_gguf_package_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_model(random_model("llama"), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(UserError, match=r"pip install .*\[gguf\]'"):
        read_gguf(path)
    with pytest.raises(UserError, match=r"pip install .*\[gguf\]'"):
        write_gguf(path, {}, [], tokenizer())
