"""Records of verified files, and disk errors."""

import errno
import os
from pathlib import Path

import pytest

from lmcraft.errors import RunError
from lmcraft.folder import sha256_of
from lmcraft.hub.download_cache import DownloadRecord, VerifiedFile, cache_folder, explain_disk_errors


def test_a_record_round_trips_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    record = DownloadRecord(
        {"x": VerifiedFile.now(tmp_path / "x", sha256_of(tmp_path / "x"))}, "mit", {"a.whl": "hash"}, "m/x"
    )
    record.write(tmp_path / "record.json")
    assert DownloadRecord.read(tmp_path / "record.json") == record and record.hashes["a.whl"] == "hash"
    (tmp_path / "record.json").write_text('{"files": 3}')
    assert DownloadRecord.read(tmp_path / "record.json") is None is DownloadRecord.read(tmp_path / "absent.json")


def test_a_file_is_hashed_only_if_it_was_touched_or_on_request(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"content")
    checked, times = VerifiedFile.now(file, sha256_of(file)), file.stat()
    file.write_bytes(b"c0ntent")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checked.holds(file, recheck=False) and not checked.holds(file, recheck=True)
    os.utime(file, ns=(1, 1))
    assert not checked.holds(file, recheck=False)


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(RunError, match=r"is full, so hf:a/b is incomplete; free some space"),
        explain_disk_errors("hf:a/b", tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
