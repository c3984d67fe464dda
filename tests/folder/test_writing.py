"""Atomic writes: whatever happens, the old or the new is there, and nothing else."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.folder import atomic_write, remove_path, writing
from lmcraft.folder.lock import LOCK_NAME, lock_folder
from lmcraft.folder.writing import (
    ASIDE,
    MARK,
    finish_replacement,
    naming_file,
    remove_leftovers,
    replace_folder,
    working_folder,
)


def write_folder(path: Path, text: str) -> None:
    path.mkdir(exist_ok=True)
    (path / "a.txt").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.txt"
    for text in ("old", "new"):
        with atomic_write(file) as temporary:
            temporary.write_text(text)
    with pytest.raises(RuntimeError), atomic_write(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "new" and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("name", ["x" * 255, "天" * 85, "a" * 101, "x~0123456789abcdef", "é" * 120 + ".gguf"])
@pytest.mark.parametrize("kind", ["file", "folder", "in place"])
def test_every_name_that_fits_can_be_written(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for text in ("old", "new"):
        if kind == "in place":
            with replace_folder(path):
                path.mkdir()
                (path / "a").write_text(text)
        else:
            with atomic_write(path) as new:
                if kind == "folder":
                    new.mkdir()
                (new / "a" if kind == "folder" else new).write_text(text)
        assert (path if kind == "file" else path / "a").read_text() == text
    assert names(tmp_path) == [name]


def test_leftovers_with_a_shortened_name_are_settled_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 200)
    with working_folder(path) as folder:
        (folder / ASIDE).mkdir()
        shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy").rename(folder)  # as after a kill
    remove_leftovers(tmp_path)
    assert folder.exists()
    with atomic_write(path):
        pass
    assert names(tmp_path) == [path.name] and path.is_dir()


def test_a_failed_first_write_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "deep" / "er" / "a.txt"):
        raise RuntimeError
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_replaces_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:  # as on systems without an exchange in one step
        monkeypatch.setattr(writing, "_exchange", lambda first, second: False)
    for text in ("old", "new"):
        with atomic_write(tmp_path / "out") as temporary:
            write_folder(temporary, text)
    assert contents(tmp_path) == {"out/a.txt": "new"} and names(tmp_path) == ["out"]
    remove_path(tmp_path / "out")
    remove_path(tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    write_folder(tmp_path / "target", "old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as temporary:
        write_folder(temporary, "new")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "target") == {"a.txt": "new"}
    assert names(tmp_path) == ["link", "target"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lmcraft.folder import atomic_write, writing
from lmcraft.folder.writing import replace_folder
calls = 0
def count(name):
    original = getattr(os, name)
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(os, name, call)
for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync"):
    count(name)
if sys.argv[3] == "renames":
    writing._exchange = lambda first, second: False
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.mkdir()
    (temporary / "a.txt").write_text("new")
"""


@pytest.mark.parametrize("mode", ["exchange", "renames"])
@pytest.mark.parametrize("call", range(1, 16))
def test_a_kill_at_any_step_loses_nothing(tmp_path: Path, call: int, mode: str) -> None:
    out = tmp_path / "out"
    write_folder(out, "old")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(out), str(call), mode], check=False).returncode
    assert ended in (0, -signal.SIGKILL)
    with working_folder(out):  # what the next write does first
        assert contents(out) in ({"a.txt": "old"}, {"a.txt": "new"})
    with atomic_write(out) as temporary:
        write_folder(temporary, "newest")
    assert contents(tmp_path) == {"out/a.txt": "newest"} and names(tmp_path) == ["out"]


def test_a_destination_in_use_is_refused_and_its_process_is_named(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "out") as temporary:
        with (
            pytest.raises(UserError, match=f"'{tmp_path / 'out'}' is in use by process {os.getpid()}: wait"),
            atomic_write(tmp_path / "out", wait=False),
        ):
            pass
        remove_leftovers(tmp_path)
        write_folder(temporary, "new")
    assert contents(tmp_path) == {"out/a.txt": "new"}


def test_leftovers_of_other_programs_stay(tmp_path: Path) -> None:
    for name in (".out.tmp", ".lmcraft", "notes.lmcraft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".a.txt.lmcraft").mkdir()
    (tmp_path / ".a.txt.lmcraft" / MARK).touch()
    (tmp_path / ".a.txt.lmcraft" / "a.txt").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lmcraft", ".out.tmp", "notes.lmcraft"]


def make_namesake(path: Path, kind: str) -> None:
    """Something of the user's that has the name of a hidden folder."""
    if kind == "file":
        path.write_text("mine")
        return
    folder = path.with_name("elsewhere") if kind == "link" else path
    (folder / "deep").mkdir(parents=True)
    for name in ("out", "discarded-0", "deep/a.txt"):
        (folder / name).write_text("mine")
    if kind == "link":
        path.symlink_to(folder)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
@pytest.mark.parametrize("old", [True, False])
def test_what_only_has_the_name_of_a_hidden_folder_is_never_touched(tmp_path: Path, kind: str, old: bool) -> None:
    make_namesake(tmp_path / ".out.lmcraft", kind)
    if old:
        write_folder(tmp_path / "out", "old")
    before, remedy = contents(tmp_path), r"'.*/\.out\.lmcraft' is in the way of writing .*: rename it, or choose another"
    with pytest.raises(UserError, match=remedy), atomic_write(tmp_path / "out") as temporary:
        write_folder(temporary, "new")
    with pytest.raises(UserError, match=remedy), replace_folder(tmp_path / "out"):
        pass
    with pytest.raises(UserError, match=remedy):
        finish_replacement(tmp_path / "out", complete=True)
    remove_leftovers(tmp_path)
    assert contents(tmp_path) == before


def test_a_users_file_with_the_name_of_the_lock_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("my notes")
    with pytest.raises(UserError, match="has the name of a lock, but"), lock_folder(tmp_path, wait=False):
        pass
    assert contents(tmp_path) == {LOCK_NAME: "my notes"}


def test_replacing_in_place_puts_the_old_folder_back_unless_it_completes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, "old")
    with pytest.raises(RuntimeError), replace_folder(out):
        write_folder(out, "half")
        raise RuntimeError
    assert contents(tmp_path) == {"out/a.txt": "old"}
    with pytest.raises(InterruptedRunError), replace_folder(out):
        write_folder(out, "saved")
        raise InterruptedRunError("stopped", 2)
    assert contents(tmp_path) == {"out/a.txt": "saved"}
    with replace_folder(out):
        write_folder(out, "new")
    assert contents(tmp_path) == {"out/a.txt": "new"} and names(tmp_path) == ["out"]


@pytest.mark.parametrize(("complete", "expected"), [(False, "old"), (True, "new")])
def test_a_replacement_in_place_that_was_killed_is_settled(tmp_path: Path, complete: bool, expected: str) -> None:
    out = tmp_path / "out"
    code = "import os, sys; from pathlib import Path; from lmcraft.folder.writing import replace_folder\n"
    code += "with replace_folder(Path(sys.argv[1])): os.mkdir(sys.argv[1]); "
    code += "Path(sys.argv[1], 'a.txt').write_text('new'); os.kill(os.getpid(), 9)"
    write_folder(out, "old")
    assert subprocess.run([sys.executable, "-c", code, str(out)], check=False).returncode == -signal.SIGKILL
    assert contents(out) == {"a.txt": "new"}
    finish_replacement(out, complete=complete)
    finish_replacement(out, complete=complete)
    assert contents(tmp_path) == {"out/a.txt": expected} and names(tmp_path) == ["out"]


def test_an_error_of_a_write_names_the_file_by_its_final_path(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for error, name in (
        (OSError(errno.ENOSPC, "full"), out),
        (OSError("100 requested and 3 written"), out),
        (OSError(errno.EIO, "fault"), None),  # perhaps of a file that is read
    ):
        with pytest.raises(OSError) as caught, atomic_write(out):
            raise error
        assert caught.value.filename == (None if name is None else str(name))
    with pytest.raises(OSError) as caught, atomic_write(out) as temporary:
        temporary.mkdir()
        (temporary / "missing" / "a.txt").write_text("")
    assert caught.value.filename == str(out / "missing" / "a.txt")
    with pytest.raises(OSError) as caught, naming_file(out):
        raise OSError(errno.EDQUOT, "quota")
    assert caught.value.filename == str(out)
    with pytest.raises(OSError) as caught, working_folder(out) as folder:
        Path("missing").rename(folder / "discarded-1")
    assert (caught.value.filename, caught.value.filename2) == ("missing", str(out))


def test_a_limit_on_the_size_of_files_is_not_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, number in ((1000, errno.EFBIG), (resource.RLIM_INFINITY, errno.ENOSPC)):
        monkeypatch.setattr(resource, "getrlimit", lambda name, limit=limit: (limit, limit))
        with pytest.raises(OSError) as caught, naming_file(tmp_path / "new" / "a.gguf"):
            raise OSError("100 requested and 3 written")
        assert caught.value.errno == number
