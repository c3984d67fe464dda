"""Models by name: loaded at startup and from the model root; names on the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.server.engine.registry import LoadOptions, Registry, parse_model_arguments
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from tests.finetuning.chat import chat_folder


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """With one loaded model, `first`, and a root with a model `second` and a broken model `broken`."""
    first = chat_folder(tmp_path / "first")
    chat_folder(tmp_path / "root" / "second")
    (tmp_path / "root" / "broken").mkdir()
    (tmp_path / "root" / "broken" / "config.json").write_text("{}")
    (tmp_path / "root" / "notes").mkdir()
    registry = Registry(Limits(), Metrics(), LoadOptions(), tmp_path / "root")
    registry.open("first", first)
    yield registry
    for worker in registry.workers():
        worker.stop()


def test_the_first_model_answers_requests_without_a_name(registry: Registry) -> None:
    assert registry.get().name == "first" and registry.get("first").kind == "chat"
    assert registry.get("first").context == 128


def test_a_model_knows_to_what_its_engine_rounds_the_weights(registry: Registry, tmp_path: Path) -> None:
    assert registry.get("first").rounding is None
    other = Registry(Limits(), Metrics(), LoadOptions(weights="int8"))
    try:
        assert other.open("first", tmp_path / "first").rounding == "int8"
    finally:
        other.stop()


def test_models_of_the_root_are_loaded_on_the_first_request(registry: Registry) -> None:
    assert registry.names() == ["first", "broken", "second"]
    assert [served.name for served in registry.loaded()] == ["first"]
    assert registry.get("second") is registry.get("second")
    assert [served.name for served in registry.loaded()] == ["first", "second"]
    assert len(registry.workers()) == 2


@pytest.mark.parametrize("name", ["third", "notes", "../first", "/etc"])
def test_an_unknown_name_is_404_and_lists_the_others(registry: Registry, name: str) -> None:
    with pytest.raises(ApiError, match="available: first, broken, second") as caught:
        registry.get(name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_model_that_cannot_be_loaded_is_503(registry: Registry) -> None:
    with pytest.raises(ApiError, match="the model 'broken' cannot be loaded") as caught:
        registry.get("broken")
    assert caught.value.status == 503


def test_a_name_can_be_taken_only_once(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two models are named 'first'"):
        registry.open("first", tmp_path / "first")


def test_a_language_model_is_not_a_classifier_and_its_engine_may_be_restarting(registry: Registry) -> None:
    served = registry.get("first")
    assert served.language_model.tokenizer is not None and served.engine.context_length == 128
    with pytest.raises(ApiError, match="'first' has no classification head"):
        _ = served.classifier
    served.worker.engine = None
    with pytest.raises(ApiError, match="is restarting") as caught:
        _ = served.engine
    assert caught.value.status == 503 and served.context == 128


def test_an_unreadable_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model_root=.*none cannot be read"):
        Registry(Limits(), Metrics(), LoadOptions(), tmp_path / "none")


def test_names_of_command_line_arguments(tmp_path: Path) -> None:
    (folder := tmp_path / "run=1" / "smol").mkdir(parents=True)
    arguments = ["models/a/", "b=models/c", "hf:owner/name@main", "x.gguf", "https://host/y.gguf?a=b"]
    arguments += ["owner/small=models/c", "tag:8b=models/c", "pypi:p==1.0/w", str(folder)]
    assert parse_model_arguments(arguments) == {
        "owner/small": "models/c",
        "tag:8b": "models/c",
        "w": "pypi:p==1.0/w",
        "smol": str(folder),
        "a": "models/a/",
        "b": "models/c",
        "name": "hf:owner/name@main",
        "x": "x.gguf",
        "y.gguf?a=b": "https://host/y.gguf?a=b",
    }
    with pytest.raises(UserError, match="two models are named 'a'"):
        parse_model_arguments(["models/a", "other/a"])
