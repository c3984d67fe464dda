"""A path that holds nothing, or something else than a command needs: the error says what it holds, and what to do."""

import os
from pathlib import Path

import pytest

from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.folder import mismatch_error, missing_path_error
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (
        "models/small/config.json",
        "models/large/adapter_config.json",
        "datasets/mine/manifest.json",
        "texts/a.txt",
        "run/lmcraft/checkpoints/step-000001/state",
        "tuning/lmcraft/checkpoints/step-000001/state",
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("{}")  # of JSON, the rest is not read
    Path("empty").mkdir()
    Path("run/lmcraft/run.toml").write_text("depth = 4\n")
    Path("tuning/lmcraft/run.toml").write_text('objective = "sft"\n')


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("chat models/smal", "'models/smal' does not exist: is it 'models/small'?"),
        ("chat models/nowhere", "'models/nowhere' does not exist: check the path"),
        ("chat ./no/where", "'no/where' does not exist (there is no folder 'no'): check the path"),
        ("chat x.gguf", "'x.gguf' does not exist: check the path"),
        ("chat empty", "'empty' is an empty folder, not a model folder: it has no config.json"),
        ("chat texts", "'texts' is not a model folder: it has no config.json; `lmcraft pull` downloads a model"),
        (
            "chat run",
            "not a model folder: continue it with `lmcraft pretrain run/lmcraft/run.toml",
        ),
        ("chat tuning", "continue it with `lmcraft finetune tuning/lmcraft/run.toml --resume`"),
        (
            "chat datasets/mine",
            "a dataset folder, not a model folder: train a model on it with `lmcraft pretrain datasets/mine`",
        ),
        (
            "inspect models",
            "a folder of models, not a model folder: choose one of them, such as 'models/large', 'models/small'",
        ),
        ("serve models --store none", "`lmcraft serve --model-root models` serves all of them"),
        ("pretrain nowhere", "'nowhere' does not exist: check the path"),
        ("pretrain texts", "'texts' is not a dataset folder: make one with `lmcraft prepare texts --out DATASET`"),
        (
            "pretrain empty",
            "an empty folder, not a dataset folder: make one with `lmcraft prepare TEXT --out DATASET`",
        ),
        ("pretrain datasets", "is a folder of datasets, not a dataset folder: choose one of them, such as 'datasets/mine'"),
        (
            "pretrain models/small --out new",
            "not a dataset folder: make a dataset with `lmcraft prepare TEXT`",
        ),
        ("classify models/small text", "is a model folder, not a classifier: train one with `lmcraft finetune"),
        ("classify nowhere text", "'nowhere' does not exist: check the path"),
    ],
)
def test_the_error_names_content_and_remedy(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("inspect /dev/null", "'/dev/null' is a device, not a file or a folder: choose another path"),
        ("pretrain /dev/null", "'/dev/null' is a device, not a file or a folder: choose another path"),
        ("inspect ./pipe", "'pipe' is a named pipe, not a file or a folder"),
        ("inspect gguf:pipe", "'pipe' is a named pipe, not a file or a folder"),
        ("inspect dangling", "'dangling' is a link to 'nowhere', which does not exist: correct the link"),
        ("pretrain dangling", "'dangling' is a link to 'nowhere', which does not exist: correct the link"),
        ("inspect circle", "'circle' cannot be reached, since links form a circle: correct them"),
        ("pretrain circle", "'circle' cannot be reached, since links form a circle: correct them"),
        ("classify dangling text", "'dangling' is a link to 'nowhere', which does not exist: correct the link"),
        ("inspect cache", "'cache' is a folder of the Hugging Face cache, not a model folder: open the snapshot in it,"),
        ("inspect pointer.gguf", "'pointer.gguf' is a Git LFS pointer, not the file itself: get it with `git lfs pull`"),
        ("inspect page.gguf", "'page.gguf' is a web page, not a file of a model: download it again"),
        ("inspect http://localhost:1", "'http://localhost:1' is the address of a server, which only `lmcraft chat` takes"),
        (f"inspect {'a' * 5000}", "aaa...aaa"),
        ("inspect ./a\x1b[31mb\x07", r"'a\x1b[31mb\x07' does not exist"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_neither_a_file_nor_a_folder_is_named(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo("pipe")
    Path("dangling").symlink_to("nowhere")
    Path("circle").symlink_to("circle")
    Path("cache/snapshots/abc").mkdir(parents=True)
    Path("cache/snapshots/abc/config.json").touch()
    Path("pointer.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    Path("page.gguf").write_text("<!DOCTYPE html>\n<html></html>")
    assert main(command.split(" ")) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split()) and len(error) < 1000


@pytest.mark.parametrize("name", [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja", "additional_chat_templates/tool_use.jinja", "model.safetensors", "lmcraft/lineage.json",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["is a link to", "is a named pipe", "is a folder", "is a Git LFS pointer"])
def test_a_file_of_a_model_that_is_something_else_is_not_taken_for_absent(
    name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    language_model().save("m")
    file = Path("m", name)
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    Path("m/lmcraft/checkpoints").mkdir(parents=True, exist_ok=True)  # which alone would make it an unfinished run
    match kind:
        case "is a link to":
            file.symlink_to("../../blobs/gone")  # as in a cache whose file was removed
        case "is a named pipe":
            os.mkfifo(file)
        case "is a folder":
            file.mkdir()
        case _:
            file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert main(["inspect", "m"]) == 2
    assert f"'{file}' {kind}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["classify broken text", "pretrain broken", "report broken", "inspect broken"])
def test_a_folder_whose_configuration_is_a_link_to_nothing_is_no_unfinished_run(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken/lmcraft/checkpoints").mkdir(parents=True)
    Path("broken/config.json").symlink_to("../../blobs/gone")
    assert main(command.split()) == 2
    assert "'broken/config.json' is a link to '../../blobs/gone'" in " ".join(capsys.readouterr().err.split())


def test_a_template_may_begin_with_a_byte_order_mark() -> None:
    language_model().save("m")
    Path("m/chat_template.jinja").write_bytes("\ufeffé{{ messages }}".encode())
    assert LanguageModel.load("m").tokenizer.chat_template == "é{{ messages }}"
    Path("m/chat_template.jinja").write_bytes("é".encode("latin-1"))
    with pytest.raises(UserError, match=r"chat_template.jinja' is not UTF-8"):
        LanguageModel.load("m")


def test_odd_paths() -> None:
    for path in (Path("/"), Path(), Path("texts/a.txt/b")):
        assert str(mismatch_error(path, "model"))
        assert str(missing_path_error(path))
