"""Selecting the files of a model folder."""

import json

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.hub.model_files import model_files, simplest_path


def no_index() -> str:
    raise AssertionError("the index is not needed")


def test_metadata_comes_first_and_duplicate_formats_are_left_out() -> None:
    files = ["model.safetensors", "config.json", "pytorch_model.bin", "README.md", "train.py", "onnx/config.json"]
    files += ["additional_chat_templates/tool_use.jinja", "additional_chat_templates/deep/x.jinja", "x/tool_use.jinja"]
    metadata = ["README.md", "additional_chat_templates/tool_use.jinja", "config.json"]
    assert model_files(files, no_index, "m") == [*metadata, "model.safetensors"]


def test_only_the_shards_in_the_index_are_selected() -> None:
    index = json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})
    files = ["config.json", "model.safetensors.index.json", "1.safetensors", "2.safetensors", "old.safetensors"]
    assert model_files(files, lambda: index, "m")[-2:] == ["1.safetensors", "2.safetensors"]
    with pytest.raises(RunError, match=r"names '2\.safetensors', which is missing"):
        model_files(files[:3], lambda: index, "m")


def test_folders_without_safetensors_name_the_remedy() -> None:
    for files, message in (
        (["a/x.gguf"], "has GGUF files and no safetensors; name one of them, as in m/a/x.gguf"),
        (["config.json", "pytorch_model.bin"], "has only pickled weights"),
        (["model.safetensors"], "it has no config.json"),
        ([], "neither safetensors weights nor a GGUF file"),
    ):
        with pytest.raises(UserError, match=message):
            model_files(files, no_index, "m")
    assert simplest_path(["a/b/c", "z", "aa"]) == "z"
