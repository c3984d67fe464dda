"""Model folders from strangers: each file damaged, each setting absurd. The folder opens and generates, or is refused."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import LmcraftError, UserError
from lmcraft.language_model import LanguageModel
from tests.finetuning.chat import chat_folder

GARBAGE = {
    "empty": b"",
    "not UTF-8": b"\xff" * 50,
    "nested": b'{"a":' * 50_000,
    "a list": b"[]",
    "a number": b"3",
    "zeros": b"\0" * 100,
}
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
NUMBERS: tuple[Any, ...] = (None, 0, -1, 1, 2**27, 10**30, 1e308, float("nan"), float("inf"), "x", [], {}, True)
SETTINGS = {
    "config.json": ("max_position_embeddings", "vocab_size", "head_dim", "num_hidden_layers", "rms_norm_eps", "rope_theta"),
    "generation_config.json": ("num_beams", "num_return_sequences", "length_penalty", "temperature", "stop_strings"),
    "tokenizer_config.json": ("chat_template", "eos_token"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def opens_or_is_refused(folder: Path) -> bool:
    try:
        model = LanguageModel.load(folder, tier="eager")
        model.generate([5, 6], max_new_tokens=2, seed=1)
        assert model.tokenizer.chat_template is None or model.tokenizer.apply_chat_template([])
    except LmcraftError as error:
        assert str(error)
        return False
    return True


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused(name: str, garbage: str, folder: Path) -> None:
    (folder / name).write_bytes(GARBAGE[garbage])
    assert not opens_or_is_refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_something_else_in_place_of_a_file(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    assert not opens_or_is_refused(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)  # reading one would wait forever
    opens_or_is_refused(folder)
    if name in ("config.json", "model.safetensors", "tokenizer.json"):
        with pytest.raises(UserError, match=f"{name}' is a named pipe, not a file"):
            LanguageModel.load(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    opens_or_is_refused(folder)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in SETTINGS.items() for key in keys])
def test_absurd_settings(name: str, key: str, folder: Path) -> None:
    contents = json.loads((folder / name).read_text())
    for value in NUMBERS:
        (folder / name).write_text(json.dumps({**contents, key: value}))
        opens_or_is_refused(folder)
