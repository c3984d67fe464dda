"""Optional dependencies: the error says how to install what is missing, from a checkout or a package index."""

import json
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from lmcraft import extras
from lmcraft.errors import UserError
from lmcraft.extras import PURPOSES, _requirement, import_optional, install_command, missing_packages


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


def test_every_extra_for_users_has_a_purpose() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    others = {"test", "dev", "docs", "data", "llama-cpp"}
    assert set(PURPOSES) == set(project["optional-dependencies"]) - others


def test_the_missing_packages_of_an_extra_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lmcraft\nVersion: 0\nRequires-Dist: torch>=2\n"
        "Requires-Dist: pytest>=8; extra == 'a'\nRequires-Dist: no-such.package[x]>=1,<2 ; extra == \"a\"\n"
        "Requires-Dist: other; extra == 'b'\n"
    )
    ours = Distribution.at(tmp_path)
    monkeypatch.setattr(extras, "distribution", lambda name: ours if name == "lmcraft" else distribution(name))
    assert missing_packages("a") == ["no-such.package"] and missing_packages("newer") == ["newer"]
