"""Wheels that are malicious, damaged or inconsistent."""

import struct
import zipfile
from pathlib import Path

import pytest

from lmcraft.errors import RunError
from lmcraft.hub.wheel import Wheel
from tests.hub.test_pypi import GGUF, cached_files, fails, index, make_wheel

__all__ = ["index"]  # a fixture


@pytest.mark.parametrize(
    ("stated", "license"),
    [
        ("License: Apache-2.0", "Apache-2.0"),
        ("License-Expression: MIT\nLicense: other", "MIT"),
        ("License: The MIT License\n        Permission is hereby granted", "The MIT License"),
        ("License: Größe", "Größe"),
        ("Summary: none", None),
    ],
)
def test_the_license_is_the_packages_own(index: Path, tmp_path: Path, stated: str, license: str | None) -> None:
    with Wheel(make_wheel(index, {"x.gguf": GGUF}, stated), "pypi:tiny-models==1.0") as wheel:
        assert wheel.license() == license


def member_named(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x.gguf")
    info.filename = name
    return info


def symlink_member() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x.gguf")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x": member_named("../x.gguf")}, "the path '../x.gguf'"),
        ({"x": member_named("/tmp/x.gguf")}, "the path '/tmp/x.gguf'"),
        ({"x": member_named("a/../../x.gguf")}, "the path 'a/../../x.gguf'"),
        ({"x": member_named("C:\\x.gguf")}, "the path 'C:"),
        ({"x": symlink_member()}, "which is a link"),
        ({"m/config.json": b"{}", "m/model.safetensors": b"w", "m/LICENSE\\..\\..\\x": b""}, "the path 'm/LICENSE"),
        ({"x": member_named("x.gguf"), "x.gguf": GGUF}, "two files of the same name"),
        ({"x.gguf": bytes(70 << 20)}, "GB in"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_malicious_wheel_is_rejected_and_writes_nothing(
    index: Path, tmp_path: Path, files: dict[str, bytes | zipfile.ZipInfo], words: str
) -> None:
    make_wheel(index, files)
    before = {path for path in tmp_path.rglob("*") if "lmcraft-cache" not in str(path)}
    fails("pypi:tiny-models==1.0", RunError, words, "malicious", "nothing was kept")
    assert not cached_files(tmp_path) and before == {p for p in tmp_path.rglob("*") if "lmcraft-cache" not in str(p)}


def patch_directory(path: Path, offset_in_central: int, value: bytes) -> None:
    """Change a field of the first member's entry in the archive's directory, which readers rely on."""
    content = bytearray(path.read_bytes())
    position = content.index(b"PK\x01\x02") + offset_in_central
    content[position : position + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (24, struct.pack("<I", 1000)),  # the real file is larger
        (24, struct.pack("<I", len(GGUF) + 1000)),  # the real file is smaller
        (16, b"\0\0\0\0"),  # another CRC
        (10, struct.pack("<H", 99)),  # an unknown compression
        (8, struct.pack("<H", 1)),  # encrypted
    ],
)
def test_an_inconsistent_member_is_rejected(index: Path, tmp_path: Path, offset: int, value: bytes) -> None:
    wheel = make_wheel(index, {"x.gguf": GGUF})
    patch_directory(wheel, offset, value)
    out = tmp_path / "out"
    out.mkdir()
    with Wheel(wheel, "pypi:tiny-models==1.0") as opened, pytest.raises(RunError, match=r"x\.gguf.*damaged"):
        opened.extract("x.gguf", out)
    assert sum(path.stat().st_size for path in out.iterdir()) <= len(GGUF)
    fails("pypi:tiny-models==1.0", RunError)
    assert not cached_files(tmp_path)


def test_a_wheel_that_is_not_an_archive_is_an_error(index: Path, tmp_path: Path) -> None:
    path = index / "tiny_models-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(RunError, match="is damaged"):
        Wheel(path, "pypi:tiny-models==1.0")
    fails("pypi:tiny-models==1.0", RunError, "tiny-models")
