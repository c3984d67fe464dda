from pathlib import Path

import pytest

from lmcraft.config import read_toml
from lmcraft.text_file import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-sig"])
def test_settings_are_read_as_windows_writes_them(encoding: str, tmp_path: Path) -> None:
    text = 'data = "天地"\r\nmax_steps = 3\r\n'
    mark = "\ufeff" if encoding.endswith("le-sig") else ""
    (tmp_path / "run.toml").write_bytes((mark + text).encode(encoding.removesuffix("-sig") if mark else encoding))
    assert read_toml(tmp_path / "run.toml") == {"data": "天地", "max_steps": 3}
    assert read_text(tmp_path / "run.toml") == text.replace("\r\n", "\n")


def test_another_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("schlüssel".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "prompt.txt")
