import os
from pathlib import Path

import pytest

from lmcraft.runs import run_folders
from lmcraft.runs.run_folders import RunFolders, encode_id
from tests.runs.written_run import WrittenRun


def test_runs_are_found_at_any_depth_but_not_in_runs_hidden_folders_and_links(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for name in ("a", "sweep/b", "sweep/deep/c", "a/nested", ".hidden/d"):
        WrittenRun(root / name)
    WrittenRun(tmp_path / "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "circle").symlink_to(root)
    WrittenRun(root / "e")
    (root / "e" / "lmcraft").rename(tmp_path / "moved")
    (root / "e" / "lmcraft").symlink_to(tmp_path / "moved")
    (root / "package" / "lmcraft").mkdir(parents=True)
    (root / "package" / "lmcraft" / "__init__.py").write_text("")
    assert {*RunFolders(root).find()} == {"a", "sweep~2Fb", "sweep~2Fdeep~2Fc"}


def test_the_folder_itself_can_be_a_run(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path / "run")
    assert RunFolders(run.path).find() == {"~": run.path}


def test_new_and_removed_runs_are_noticed(tmp_path: Path) -> None:
    folders = RunFolders(tmp_path)
    assert folders.find() == {}
    WrittenRun(tmp_path / "a" / "b")
    assert {*folders.find()} == {"a~2Fb"}
    WrittenRun(tmp_path / "a" / "c")
    (tmp_path / "a" / "b").rename(tmp_path / "moved")
    assert {*folders.find()} == {"a~2Fc", "moved"}


def test_a_folder_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        WrittenRun(tmp_path / f"{n}")
    os.utime(tmp_path, (0, 0))
    for n in range(3):
        os.utime(tmp_path / f"{n}", (0, 0))
    folders = RunFolders(tmp_path)
    first = folders.find()
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail(f"{path} was read again"))
    assert folders.find() == first and len(first) == 3


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(10):
        WrittenRun(tmp_path / f"{n}")
    monkeypatch.setattr(run_folders, "MAX_FOLDERS", 5)
    folders = RunFolders(tmp_path)
    assert len(folders.find()) == 4 and folders.is_cut
    monkeypatch.setattr(run_folders, "MAX_FOLDERS", 50)
    monkeypatch.setattr(run_folders, "MAX_ENTRIES", 3)
    folders = RunFolders(tmp_path)
    for _ in range(2):
        assert len(folders.find()) == 3 and folders.is_cut
    deep = tmp_path / "0" / "/".join("abcdefghij")
    WrittenRun(deep)
    assert RunFolders(tmp_path / "0").find() == {"~": tmp_path / "0"}


def test_a_folder_without_permission_hides_only_its_own_runs(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    WrittenRun(tmp_path / "a")
    WrittenRun(tmp_path / "locked" / "b")
    (tmp_path / "locked").chmod(0)
    assert {*RunFolders(tmp_path).find()} == {"a"}
    (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize("name", ["a b", "a/b", "~", "%2F", "é", "\udcff", "a\nb", "?#&", "..", "运行"])
def test_an_id_needs_no_escape_and_is_that_of_one_path(name: str) -> None:
    id = encode_id(name)
    assert id and id.isascii() and all(character.isalnum() or character in "._~-" for character in id)
    decoded = os.fsdecode(bytes.fromhex("".join(_hexadecimal(id))))
    assert decoded == name


def _hexadecimal(id: str) -> list[str]:
    parts = id.split("~")
    return [parts[0].encode().hex(), *(part[:2] + part[2:].encode().hex() for part in parts[1:])]
