"""JSON files from strangers."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import read_json, reading


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"{", "is damaged: it is not valid JSON"),
        (b"", "is damaged: it is not valid JSON"),
        (b"\xff\xfe{}", "is damaged: it is not valid UTF-8"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is damaged: it is nested more than 200 levels deep"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "is nested more than 64 levels"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "is nested more than 64 levels"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is damaged: it is not valid JSON: the number 9{20}... has too many digits"),
    ],
)
def test_a_file_that_is_no_plain_object_is_refused(contents: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(contents)
    with pytest.raises(UserError, match=rf"config.json' {message}"):
        read_json(tmp_path / "config.json")


def test_large_files_and_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.json"
    file.write_text("\ufeff" + '{"a": [{"b": 1}]}')
    assert read_json(file) == {"a": [{"b": 1}]}
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_json(tmp_path)
    monkeypatch.setattr(reading, "MAX_JSON_BYTES", 5)
    with pytest.raises(UserError, match="has 20 bytes, and 5 at most"):
        read_json(file)
