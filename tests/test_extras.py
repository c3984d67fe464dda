"""Optional dependencies: the error says how to install what is missing, from a checkout or a package index."""

import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.extras import _requirement, import_optional, install_command


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        ({}, "'lmcraft[serve]'"),
        ({"url": "file:///home/ada/my%20code", "dir_info": {"editable": True}}, "-e '/home/ada/my code[serve]'"),
        ({"url": "file:///home/ada/lmcraft", "dir_info": {}}, "'/home/ada/lmcraft[serve]'"),
        ({"url": "https://example.org/lmcraft.git"}, "'lmcraft[serve]'"),
    ],
)
def test_the_command_fits_the_installation(origin: dict[str, object], requirement: str, tmp_path: Path) -> None:
    (tmp_path / "METADATA").write_text("Metadata-Version: 2.1\nName: lmcraft\nVersion: 0\n")
    if origin:
        (tmp_path / "direct_url.json").write_text(json.dumps(origin))
    assert _requirement(Distribution.at(tmp_path), "serve") == requirement


def test_a_missing_package_is_named_with_the_command() -> None:
    with pytest.raises(UserError, match=r"the server needs the package 'no_such_package': pip install .*\[serve\]'"):
        import_optional("no_such_package.part", "serve", "the server")
    assert install_command("gguf").endswith("[gguf]'")
