"""What the survey leaves out: names, links, pipes and folders that cannot be read."""

import os
from pathlib import Path

import pytest

from lmcraft.data import source_files
from lmcraft.data.source_files import list_files
from lmcraft.errors import UserError
from lmcraft.preparation.inputs.survey import Survey, survey
from tests.preparation.inputs.reading import source_of


def survey_of(folder: Path, *paths: Path | str) -> Survey:
    (folder / "work").mkdir(exist_ok=True)
    return survey([source_of(paths)], folder / "work")


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"The text of {os.fsencode(name)!r}.\n")


def names_of(surveyed: Survey, folder: Path) -> list[str]:
    return [str(Path(file.path).relative_to(folder)) for file in surveyed.files]


def test_a_name_that_is_not_utf8_is_left_out_and_escaped(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.txt", "bad\udcff\udcfename.txt", "folder\udcff/b.txt", "天.txt")
    surveyed = survey_of(tmp_path, tmp_path / "in")
    assert names_of(surveyed, tmp_path / "in") == ["a.txt", "天.txt"]
    assert [Path(entry["file"]).name for entry in surveyed.skipped] == ["bad\\xff\\xfename.txt", "b.txt"]
    assert {entry["reason"] for entry in surveyed.skipped} == {"its name is not UTF-8: rename it"}
    assert all(entry["file"].isprintable() for entry in surveyed.skipped)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in/loopy/**/*.md", ["a.md", "b.md", "c.md"]),
        ("in/**/*.md", ["a.md", "b.md", "c.md"]),
        ("**/sub/*", ["b.md", "d.txt"]),
        ("in/**/sub/**", ["a.md", "b.md", "c.md", "d.txt", "e[1].txt"]),
        ("in/*/*.md", ["a.md", "c.md"]),
    ],
)
def test_a_pattern_reads_each_file_once(
    pattern: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("loopy/a.md", "loopy/sub/b.md", "loopy/sub/d.txt", "loopy/sub/x[y]/e[1].txt", "other/c.md", ".hidden/f.md")
    write(tmp_path / "in", *files)
    for folder in ("loopy", "loopy/sub", "other"):  # several loops have very many paths
        (tmp_path / "in" / folder / "up").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    listed = list_files(pattern)
    assert sorted(path.name for path, reason in listed if not reason) == names
    assert {reason for _, reason in listed} <= {"", "read under another name"}


def test_overlapping_paths_of_a_source_read_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "in/a.txt", "in/b.txt", "in/.hidden.txt")
    (tmp_path / "link.txt").symlink_to("in/b.txt")
    monkeypatch.chdir(tmp_path)
    paths = ("in/*.txt", "in", "in/a.txt", "in/a.txt", "link.txt", tmp_path / "in" / "a.txt", "in/.hidden.txt")
    surveyed = survey_of(tmp_path, *paths)
    assert sorted(file.path for file in surveyed.files) == ["in/.hidden.txt", "in/a.txt", "in/b.txt"]
    repeated = [{"file": name, "reason": "read under another name"} for name in ("link.txt", str(tmp_path / "in" / "a.txt"))]
    assert surveyed.skipped == repeated


def test_a_named_pipe_is_no_file(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe")
    surveyed = survey_of(tmp_path, tmp_path / "a.txt", tmp_path / "pipe")
    assert surveyed.skipped == [{"file": str(tmp_path / "pipe"), "reason": "neither a file nor a folder"}]


@pytest.mark.parametrize("pattern", ["in", "in/*/*.txt"])
def test_a_folder_that_cannot_be_read_is_left_out(pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "in/open/a.txt", "in/locked/b.txt")
    look = source_files.name_product

    def refuse(folder: Path) -> str:
        if folder.name == "locked":  # as for a user without the permission, which the tests may have
            raise PermissionError(13, "Permission denied", str(folder / "lmcraft" / "run.toml"))
        return look(folder)

    monkeypatch.setattr(source_files, "name_product", refuse)
    surveyed = survey_of(tmp_path, tmp_path / pattern)
    assert names_of(surveyed, tmp_path / "in") == ["open/a.txt"]
    reason = "Permission denied; nothing in this folder is read"
    assert surveyed.skipped == [{"file": str(tmp_path / "in" / "locked"), "reason": reason}]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "a source is an empty path: name a file or a folder; the current folder is '.'"),
        ("a\0b", r"source 'a\\x00b' has a zero byte, which no path has"),
        ("ftp://host/file", "addresses of ftp:// cannot be read: use s3://, http:// or https://"),
        ("sftp://host/file", "addresses of sftp:// cannot be read.*: use s3://, http:// or https://"),
        ("nowhere://host/file", "addresses of nowhere:// cannot be read .*: use s3://, http:// or https://"),
    ],
)
def test_a_path_that_cannot_be_read(path: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        source_of([path]).check()
        survey_of(tmp_path, path)
