"""Verification: every change of a file of a history is found and named."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft import LanguageModel, PrepareConfig, prepare
from lmcraft.cli import main
from lmcraft.commands.report import ReportConfig, report
from lmcraft.conversion.config import ExportConfig
from lmcraft.conversion.model_export import export_model
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder, sha256_of, write_json
from lmcraft.folder.lock import lock_folder
from lmcraft.lineage.document import make_lineage
from lmcraft.lineage.record import dataset_origin, file_origin, model_origin, write_lineage
from lmcraft.lineage.verification import verify
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text -> dataset -> model -> fine-tuned model -> export."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "text").mkdir()
    for number in range(3):
        (folder / "text" / f"{number}.txt").write_text(f"{TEXT}\n{number}\n")
    (folder / "pairs.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    prepare(PrepareConfig((str(folder / "text"),), out=folder / "data", vocab_size=300))
    base, tuned = (ModelFolder(folder / name) for name in ("base", "tuned"))
    LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300)).save(base.path)
    for run in (base, tuned):
        run.run.mkdir(parents=True)
        run.config_toml.write_text(f'data = "{folder / "data"}"\n')
        run.metrics.write_text('{"step": 1, "loss": 2.5}\n')
    write_lineage(base, "pretrain", data=[dataset_origin("training data", folder / "data")])
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base.path / name, tuned.path / name)
    parents = [model_origin("base", base.path, str(base.path))]
    write_lineage(tuned, "finetune", parents=parents, data=[file_origin("training data", folder / "pairs.jsonl")])
    export_model(ExportConfig(str(tuned.path), folder / "out", dtype="float32"))
    return folder.rename(folder.with_name("moved"))  # so that nothing is where it was


@pytest.fixture
def project(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def failures(folder: Path) -> list[tuple[Path, str]]:
    return [(Path(check.path).resolve(), check.state) for check in verify(folder).failures]


def covered(project: Path) -> list[Path]:
    """The files that an export was made from, and its own."""
    ignored = ("report.html", "README.md", "card.json", "energy.json")
    return sorted(file for file in project.rglob("*") if file.is_file() and file.name not in ignored)


def test_an_unchanged_history_is_intact_down_to_the_text(project: Path) -> None:
    verification = verify(project / "out")
    assert not verification.failures and not verification.absent
    names = {(check.depth, check.name) for check in verification.checks}
    assert names == {
        (0, "model"), (1, "base"), (2, "base"), (2, "training data"), (3, "training data"), (4, "source")
    }  # fmt: skip
    assert {Path(check.path).resolve() for check in verification.checks} == set(covered(project))
    assert report(ReportConfig(project / "out", verify=True, strict=True))["intact"]


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": flip,
    "truncate": lambda data, rng: data[: rng.randrange(len(data))],
    "append": lambda data, rng: data + b" ",
    "reverse": lambda data, rng: data[::-1],
    "line ends": lambda data, rng: data.replace(b"\n", b"\r\n") if b"\n" in data else data + b"\0",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_every_file_is_found_and_named(change: str, project: Path) -> None:
    rng = random.Random(change)
    for file in covered(project):
        data = file.read_bytes()
        file.write_bytes(CHANGES[change](data, rng))
        try:
            changed = failures(project / "out")
            assert changed == [(file, "changed")] or (file.name == "lineage.json" and (file, "changed") in changed)
        except UserError as error:  # a lineage that is no JSON any more
            assert file.name == "lineage.json" and str(file) in str(error)
        file.write_bytes(data)
    assert not failures(project / "out")


def test_a_changed_list_of_sources_accuses_no_source(project: Path) -> None:
    """A flipped bit in the compressed list can read as other hashes before its checksum fails."""
    file = project / "data/files.jsonl.gz"
    data = file.read_bytes()
    for position in range(0, len(data), 5):
        file.write_bytes(data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :])
        assert failures(project / "out") == [(file, "changed")]


def test_every_file_that_is_removed_or_replaced_is_named(project: Path) -> None:
    files = covered(project)
    for file, other in zip(files, [*files[1:], files[0]], strict=True):
        if file == project / "out/lmcraft/lineage.json":
            continue
        data = file.read_bytes()
        file.unlink()
        assert (file, "missing") in failures(project / "out") or is_absent(project, file)
        shutil.copy(other, file)
        assert failures(project / "out") == ([] if data == file.read_bytes() else [(file, "changed")])
        file.write_bytes(data)
    (project / "out/lmcraft/lineage.json").unlink()
    with pytest.raises(UserError, match=r"has no lmcraft/lineage\.json to verify it with"):
        verify(project / "out")


def is_absent(project: Path, file: Path) -> bool:
    """A single file that is gone is not here, as one that was left behind when the rest was copied."""
    return file.name in [Path(check.path).name for check in verify(project / "out").absent]


@pytest.mark.parametrize("folder", ["out", "tuned", "base"])
@pytest.mark.parametrize("name", ["model-00002-of-00002.safetensors", "model.safetensors.index.json", "modeling_x.py"])
def test_files_that_a_program_would_load_are_not_added_unseen(folder: str, name: str, project: Path) -> None:
    (project / folder / name).write_text("{}")
    (project / folder / "notes.txt").write_text("a note, which nothing reads")
    assert failures(project / "out") == [(project / folder / name, "added")]


def test_the_command_names_the_files_and_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = project / "base/model.safetensors"
    weights.write_bytes(flip(weights.read_bytes(), random.Random(1)))
    assert main(["report", str(project / "out"), "--verify"]) == 1
    out, err = capsys.readouterr()
    assert f"changed: {weights} (base)" in out.replace("/tuned/..", "").replace("/out/..", "")
    assert err.count("\n") == 1 and "is not what was recorded" in err and "model.safetensors' (changed)" in err
    assert main(["report", str(project / "out"), "--verify", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["intact"] and result["counts"]["changed"] == 1
    [check] = [check for check in result["checks"] if check["state"] == "changed"]
    assert check["actual"] == sha256_of(weights) != check["expected"]


def test_a_folder_that_was_copied_alone_says_what_is_not_here(project: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere/deep/out"
    shutil.copytree(project / "out", alone)
    project.rename(tmp_path / "archive")
    verification = verify(alone)
    assert not verification.failures and {check.name for check in verification.absent} == {"base", "training data"}
    with pytest.raises(RunError, match=r"cannot be verified to the end: '.*/project0/tuned' is not here"):
        report(ReportConfig(alone, verify=True, strict=True))
    archive = tmp_path / "archive"
    assert not verify(alone, named=(archive,)).absent
    shards = next((archive / "data").glob("train-*.npy"))
    shards.write_bytes(flip(shards.read_bytes(), random.Random(2)))
    assert [check.path for check in verify(alone, named=(archive,)).failures] == [str(shards)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"'.*empty' holds nothing that '.*out' was made from: check the path"):
        verify(alone, named=(tmp_path / "empty",))


def test_a_dataset_folder_is_verified_with_its_texts(project: Path) -> None:
    assert not failures(project / "data")
    (project / "text/1.txt").write_text("another text")
    assert failures(project / "data") == [(project / "text/1.txt", "changed")]
    (project / "data/lineage.json").unlink()  # as of a dataset that was prepared before there were lineages
    shard = project / "data/train-00000.npy"
    shard.write_bytes(flip(shard.read_bytes(), random.Random(3)))
    assert failures(project / "data") == [(shard, "changed"), (project / "text/1.txt", "changed")]


def test_a_folder_that_is_being_written_is_not_verified(project: Path) -> None:
    with (
        lock_folder(project / "out", wait=False),
        pytest.raises(UserError, match=rf"out' is being written by process {os.getpid()}: verify it when that has ended"),
    ):
        verify(project / "out")
    with lock_folder(project / "base", wait=False):
        assert [Path(check.path).name for check in verify(project / "out").absent] == ["base"]


def test_links_are_followed(project: Path) -> None:
    weights = project / "out/model.safetensors"
    stored = weights.rename(project / "blob")
    weights.symlink_to(stored)
    assert not failures(project / "out")
    stored.write_bytes(flip(stored.read_bytes(), random.Random(4)))
    assert failures(project / "out") == [(stored, "changed")]
    weights.unlink()
    weights.symlink_to(weights)
    assert [check.state for check in verify(project / "out").failures] == ["changed"]


@pytest.mark.parametrize("address", ["/dev/zero", "/proc/self/mem", "/", "../../..", "hf:a/b@c", "pypi:a==1", "~", "\\x"])
def test_a_hostile_address_is_read_neither_to_its_end_nor_as_a_folder_of_the_model(address: str, tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "model")
    folder.run.mkdir(parents=True)
    (folder.path / "config.json").write_text("{}")
    other = make_lineage(kind="pretrain", files={"model.safetensors": "0" * 64})
    origin = model_origin("base", folder.path, str(folder.path))
    parent = type(origin)("base", address, "../.." if address == ".." else "", other.sha256, other)
    files = {"config.json": sha256_of(folder.path / "config.json")}
    write_json(folder.lineage, make_lineage(kind="finetune", files=files, parents=(parent,)).as_json())
    states = {check.name: check.state for check in verify(folder.path).checks}
    assert states["model"] == "intact" and states["base"] in ("not here", "changed", "missing")


def test_lineages_of_version_1_are_verified(project: Path) -> None:
    base = ModelFolder(project / "base")
    weights, data = sha256_of(base.path / "model.safetensors"), sha256_of(project / "data/manifest.json")
    base.config_toml.write_text(f'data = "{project / "data"}"\n')
    value = {"lmcraft": "0.1.0", "data": data, "run": sha256_of(base.config_toml), "weights": {"model.safetensors": weights}}
    write_json(base.lineage, value)
    assert not failures(base.path)
    for file in (base.path / "model.safetensors", base.config_toml, project / "data/train-00000.npy"):
        before = file.read_bytes()
        file.write_bytes(flip(before, random.Random(5)))
        assert (file, "changed") in failures(base.path)
        file.write_bytes(before)
    (base.path / "extra.safetensors").write_text("")
    assert failures(base.path) == [(base.path / "extra.safetensors", "added")]


def test_folders_without_a_lineage_say_so(project: Path, tmp_path: Path) -> None:
    (project / "base/lmcraft/lineage.json").unlink()
    with pytest.raises(UserError, match="its run has not finished, or the file was removed"):
        verify(project / "base")
    with pytest.raises(UserError, match="not a model folder"):
        verify(project)
    with pytest.raises(UserError, match="does not exist"):
        verify(tmp_path / "nothing")
    assert main(["report", str(project / "base"), "--strict"]) == 2


def test_progress_counts_all_bytes(project: Path) -> None:
    counts: list[tuple[int, int]] = []
    verify(project / "out", report=lambda done, total: counts.append((done, total)))
    assert counts[-1][0] == counts[-1][1] and sorted(counts) == counts


def test_a_named_folder_counts_as_used_although_another_was_searched_first(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "further")
    assert not verify(project / "out", named=(tmp_path / "further", project)).failures


def test_a_name_in_a_lineage_cannot_look_like_a_line_of_the_output(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(project / "out", folder)
    file = folder / "lmcraft" / "lineage.json"
    lineage = json.loads(file.read_text())
    lineage["files"]["a\nm is intact"] = "0" * 64
    file.write_text(json.dumps(lineage))
    with pytest.raises(RunError, match=r"a\\nm is intact"):
        report(ReportConfig(folder, verify=True))
    assert "\nm is intact" not in capsys.readouterr().out
