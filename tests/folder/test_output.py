"""The one check of every `--out`: nothing of the user's is replaced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import output, write_json
from lmcraft.folder.output import (
    DATASET,
    GGUF,
    MODEL,
    QUICKSTART,
    TOKENIZER,
    Output,
    check_output,
    claim_run,
    replace_output,
)
from lmcraft.folder.writing import MARK


def write_model(folder: Path) -> None:
    write_json(folder / "config.json", {"model_type": "llama"})
    (folder / "model.safetensors").write_bytes(b"weights")
    write_json(folder / "lmcraft" / "lineage.json", {})


def write_dataset(folder: Path) -> None:
    write_json(folder / "manifest.json", {"splits": {"train": {}}, "vocab_size": 9})
    (folder / "train-00000.npy").write_bytes(b"tokens")


def write_run(folder: Path) -> None:
    write_model(folder)
    (folder / "lmcraft" / "run.toml").write_text("depth = 2\n")
    (folder / "lmcraft" / "checkpoints" / "step-000000").mkdir(parents=True)


def write_tokenizer(folder: Path) -> None:
    write_json(folder / "tokenizer.json", {"model": {"type": "BPE", "vocab": {}}})


def write_quickstart(folder: Path) -> None:
    write_dataset(folder / "data")
    write_run(folder / "model")


def write_examples(folder: Path) -> None:
    write_json(folder / "manifest.json", {"kind": "examples", "files": {"sft.jsonl": {}}})
    (folder / "sft.jsonl").write_text("{}\n")


def write_home(folder: Path) -> None:
    folder.mkdir()
    (folder / ".bashrc").write_text("")


def write_web_extension(folder: Path) -> None:
    write_json(folder / "manifest.json", {"manifest_version": 3})


def write_package(folder: Path) -> None:
    """A folder that holds only a package named lmcraft, as the source of this project does."""
    (folder / "lmcraft").mkdir(parents=True)
    (folder / "lmcraft" / "cli.py").write_text("")


def write_settings(folder: Path) -> None:
    write_json(folder / "config.json", {"editor": "vim"})


def write_settings_and_weights(folder: Path) -> None:
    write_settings(folder)
    (folder / "game.safetensors").write_bytes(b"weights")


def write_configuration_alone(folder: Path) -> None:
    write_json(folder / "config.json", {"model_type": "llama"})


def write_notes_beside_records(folder: Path) -> None:
    write_model(folder)
    (folder / "lmcraft" / "thesis.txt").write_text("precious")


def write_other_tokenizer(folder: Path) -> None:
    write_json(folder / "tokenizer.json", {"a": 1})


def write_tokenizer_settings(folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", {"model": {"vocab": {}}})


def write_statistics(folder: Path) -> None:
    write_json(folder / "manifest.json", {"splits": {"left": 1}})


OWN: dict[str, tuple[Output, Callable[[Path], None]]] = {
    "dataset": (DATASET, write_dataset),
    "examples": (DATASET, write_examples),
    "model": (MODEL, write_model),
    "tokenizer": (TOKENIZER, write_tokenizer),
    "quickstart": (QUICKSTART, write_quickstart),
}
FOREIGN = (
    *(write_home, write_web_extension, write_package, write_run, write_settings, write_settings_and_weights),
    *(write_configuration_alone, write_notes_beside_records, write_other_tokenizer, write_tokenizer_settings),
    write_statistics,
)


@pytest.mark.parametrize("name", OWN)
def test_a_folder_is_replaced_only_on_request_and_only_if_all_of_it_is_ours(tmp_path: Path, name: str) -> None:
    kind, write = OWN[name]
    out = tmp_path / "out"
    check_output(out, kind, overwrite=False)
    out.mkdir()
    check_output(out, kind, overwrite=False)
    write(out)
    with pytest.raises(UserError, match=r"already exists: add --overwrite to replace it, or choose another --out"):
        check_output(out, kind, overwrite=False)
    check_output(out, kind, overwrite=True)
    for mine in ("notes.txt", ".git", "thesis.json"):
        (out / mine).write_text("")
        for overwrite in (False, True):
            with pytest.raises(UserError, match=f"holds '{mine}', which .* so it is not overwritten: choose another --out"):
                check_output(out, kind, overwrite=overwrite)
        (out / mine).unlink()


@pytest.mark.parametrize("name", OWN)
def test_no_folder_of_another_kind_is_replaced(tmp_path: Path, name: str) -> None:
    kind, _ = OWN[name]
    others = [write for other, write in OWN.values() if other is not kind]
    for number, write in enumerate([*FOREIGN, *others]):
        out = tmp_path / str(number)
        write(out)
        for overwrite in (False, True):
            with pytest.raises(UserError, match="so it is not overwritten: choose another --out"):
                check_output(out, kind, overwrite=overwrite)


@pytest.mark.parametrize("write", [*FOREIGN, *(write for _, write in OWN.values())])
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_starts_only_in_a_folder_of_its_own(tmp_path: Path, write: Callable[[Path], None], resume: bool) -> None:
    out = tmp_path / "out"
    write(out)
    before = sorted(out.rglob("*"))
    if write is write_run and resume:
        with claim_run(out, resume=True):
            pass
    else:
        with pytest.raises(UserError, match="choose another --out"), claim_run(out, resume=resume):
            pass
    assert sorted(out.rglob("*")) == before


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    run = tmp_path / "out" / "lmcraft"
    (run / "checkpoints" / ".step-000000.lmcraft").mkdir(parents=True)
    (run / "run.toml").write_text("depth = 2\n")
    (run / "before.json").write_text("{}")
    with claim_run(tmp_path / "out", resume=False):
        assert not any((run / "checkpoints").iterdir())


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with claim_run(tmp_path / "deep" / "out", resume=False):
        for spelling in (tmp_path / "deep" / "out", tmp_path / "deep" / ".." / "deep" / "out"):
            with pytest.raises(UserError, match=f"in use by process {os.getpid()}"), claim_run(spelling, resume=False):
                pass
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("spelling", ["base", "./base", "x/../base", "link", "base/", "nested/link"])
def test_an_input_is_never_an_output_however_it_is_spelled(
    tmp_path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "base")
    (tmp_path / "x").mkdir()
    (tmp_path / "nested").mkdir()
    (tmp_path / "link").symlink_to("base")
    (tmp_path / "nested" / "link").symlink_to(tmp_path / "base")
    for out, model in ((spelling, "base"), ("base", spelling), (spelling, str(tmp_path / "base")), (spelling, "gguf:base")):
        with pytest.raises(UserError, match=r"is the model itself: choose another --out"):
            check_output(Path(out), MODEL, overwrite=True, inputs=[("model", model)])
    with pytest.raises(UserError, match=r"lies inside the model"):
        check_output(Path(spelling, "tuned"), MODEL, overwrite=False, inputs=[("model", "base")])
    with pytest.raises(UserError, match=r"holds the source"):
        check_output(Path(spelling), MODEL, overwrite=True, sources=[("source", "base/model.safetensors")])
    check_output(Path("base/model.gguf"), GGUF, overwrite=False, inputs=[("model", "base")])
    check_output(Path("base/../other"), MODEL, overwrite=False, inputs=[("model", "base")])


def test_files_and_folders_are_not_exchanged(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    for kind in (MODEL, DATASET, TOKENIZER, QUICKSTART):
        with pytest.raises(UserError, match="is a file, not a folder"):
            check_output(file, kind, overwrite=True)
    with pytest.raises(UserError, match="is a file, not a folder"), claim_run(file, resume=False):
        pass
    with pytest.raises(UserError, match="is not a GGUF file, so it is not overwritten"):
        check_output(file, GGUF, overwrite=True)
    with pytest.raises(UserError, match="is a folder, not a file"):
        check_output(tmp_path, GGUF, overwrite=True)


def test_a_folder_that_a_rename_cannot_replace_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (Path(), tmp_path, Path("../") / tmp_path.name):
        with pytest.raises(UserError, match="is or holds the current folder, which cannot be replaced"):
            check_output(out, DATASET, overwrite=False)
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    (tmp_path / "volume").mkdir()
    with pytest.raises(UserError, match="is a mount point, which cannot be replaced: choose a folder in it"):
        check_output(tmp_path / "volume", DATASET, overwrite=False)
    monkeypatch.setattr(Path, "is_mount", lambda path: path.is_symlink())  # as of a link to another file system
    (tmp_path / "link").symlink_to("volume")
    check_output(tmp_path / "link", DATASET, overwrite=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="is write-protected: change its permissions"):
        check_output(tmp_path / "volume", DATASET, overwrite=False)


@pytest.mark.parametrize("kind", [DATASET, GGUF])
def test_a_link_to_itself_is_not_replaced(tmp_path: Path, kind: Output) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match="is a link that leads back to itself: remove it"):
        check_output(tmp_path / "a", kind, overwrite=True)


def test_a_refused_command_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    write_model(tmp_path / "out")
    (tmp_path / ".out.lmcraft" / "out").mkdir(parents=True)
    (tmp_path / ".out.lmcraft" / MARK).touch()
    with pytest.raises(UserError, match="already exists"), replace_output(tmp_path / "out", MODEL, overwrite=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_holds_the_users_namesake_of_a_hidden_folder_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "out" / ".notes.lmcraft").mkdir(parents=True)
    (tmp_path / "out" / ".notes.lmcraft" / "a.txt").write_text("mine")
    for overwrite in (True, False):
        with pytest.raises(UserError, match=r"is not a dataset folder"):
            check_output(tmp_path / "out", DATASET, overwrite=overwrite)
    with pytest.raises(UserError, match="is not empty, and holds no run"), claim_run(tmp_path / "out", resume=False):
        pass


@pytest.mark.parametrize("name", ["thesis.gguf", "thesis.GGUF", "model.safetensors", "a.onnx", "data.jsonl", "x.tar.gz"])
def test_a_new_folder_does_not_have_the_name_of_a_file(tmp_path: Path, name: str) -> None:
    out, message = tmp_path / name, f"is the name of a file, but a folder is written: leave out '{Path(name).suffix}'"
    for kind in (DATASET, MODEL):
        with pytest.raises(UserError, match=message):
            check_output(out, kind, overwrite=True)
    with pytest.raises(UserError, match=message), claim_run(out, resume=False):
        pass
    check_output(out, GGUF, overwrite=False)
    write_model(out)
    check_output(out, MODEL, overwrite=True)  # an older one


@pytest.mark.parametrize("name", ["qwen2.5", "run.1", "a.b", ".gguf.d", "my model", "v1.0-final"])
def test_other_names_of_folders_may_have_dots(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name, MODEL, overwrite=False)


@pytest.mark.parametrize("kind", [GGUF, MODEL])
def test_a_pipe_is_neither_a_file_nor_a_folder(tmp_path: Path, kind: Output) -> None:
    os.mkfifo(tmp_path / "p.gguf")
    with pytest.raises(UserError, match="is neither a file nor a folder, but a device, a pipe or a socket: choose another"):
        check_output(tmp_path / "p.gguf", kind, overwrite=True)


def test_what_another_process_wrote_in_the_meantime_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    original = output.atomic_write

    def slow(path: Path, *, wait: bool) -> object:
        write_model(out)
        return original(path, wait=wait)

    monkeypatch.setattr(output, "atomic_write", slow)
    with pytest.raises(UserError, match="already exists"), replace_output(out, MODEL, overwrite=False):
        pass


def test_documents_of_a_replaced_model_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "model"
    write_configuration_alone(out)
    for name in ("model.safetensors", "README.md", "LICENSE"):
        (out / name).write_text(f"old {name}")
    with replace_output(out, MODEL, overwrite=True) as new:
        new.mkdir()
        (new / "config.json").write_text("new")
        (new / "LICENSE").write_text("new license")
    assert {file.name: file.read_text() for file in out.iterdir()} == {
        "config.json": "new",
        "LICENSE": "new license",
        "README.md": "old README.md",
    }
