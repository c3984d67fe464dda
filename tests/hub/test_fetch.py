"""Local addresses, which need no download."""

import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.hub import fetch_model
from lmcraft.hub.address import LocalAddress
from lmcraft.hub.fetch import parse_address


def test_a_local_folder_takes_precedence_over_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    for address in ("gpt2", "./gpt2", Path("gpt2"), tmp_path / "gpt2"):
        fetched = fetch_model(address)
        assert fetched.path.samefile(tmp_path / "gpt2")
        assert (fetched.source, fetched.sha256, fetched.license) == (str(tmp_path / "gpt2"), {}, None)


def test_a_local_gguf_file_is_used_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.gguf", "other"):
        (tmp_path / name).write_bytes(b"GGUF")
    assert parse_address("x.gguf") == parse_address("gguf:x.gguf") == LocalAddress(Path("x.gguf"))
    assert fetch_model("gguf:other").path.samefile(tmp_path / "other")
    for address, words in [
        ("other", "write gguf:other"),
        ("gguf:.", "name a GGUF file"),
        (Path("no"), "'no' does not exist"),
    ]:
        with pytest.raises(UserError, match=words):
            parse_address(address)


def test_a_local_folder_needs_neither_torch_nor_huggingface_hub(tmp_path: Path) -> None:
    code = f"import sys; from lmcraft.hub import fetch_model; fetch_model({str(tmp_path)!r}); "
    code += "print([m for m in ('torch', 'huggingface_hub', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
