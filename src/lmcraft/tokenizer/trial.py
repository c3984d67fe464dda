"""Tries a tokenizer in a process of its own before it is used: a runaway normalizer or regular expression ends that process.

A tokenizer that passed is remembered by its hash in the cache folder, and one that lmcraft writes needs no trial.
"""

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.hub.download_cache import cache_folder
from lmcraft.tokenizer import trial_process

MAX_SECONDS = 10  # of processor time, and more for large files
MAX_SECONDS_PER_MEGABYTE = 0.5
MAX_BYTES = 2 * 2**30  # of address space, and more for large files
MAX_BYTES_PER_BYTE = 60
MAX_WALL_FACTOR = 10  # of elapsed time to processor time, on a busy machine


def try_tokenizer(contents: bytes, path: Path) -> None:
    """Try a tokenizer.json, unless it passed before.

    Raises:
        UserError: it takes more than its limits of time and memory, or makes a text grow without bound. A file that is
            damaged in another way passes, for the error of the one who reads it.
    """
    if _record(contents).exists():
        return
    seconds = int(MAX_SECONDS + MAX_SECONDS_PER_MEGABYTE * len(contents) / 1e6)
    memory_bytes = MAX_BYTES + MAX_BYTES_PER_BYTE * len(contents)
    command = [sys.executable, "-P", trial_process.__file__, str(seconds), str(memory_bytes)]
    settings = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    try:
        child = subprocess.run(
            command,
            input=contents,
            env={**os.environ, **settings},
            capture_output=True,
            timeout=MAX_WALL_FACTOR * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unsafe(path, f"needs more than {MAX_WALL_FACTOR * seconds} seconds") from error
    except OSError:  # no further process may be started here
        return
    if child.returncode < 0:
        raise _unsafe(path, f"needs more than {seconds} seconds or {memory_bytes / 2**30:.1f} GiB, or aborts")
    if child.returncode == trial_process.GROWS:
        raise _unsafe(path, f"writes more than {trial_process.MAX_GROWTH} characters for one")
    if child.returncode == trial_process.FAILS or b"PanicException" in child.stderr or b"MemoryError" in child.stderr:
        reason = child.stdout.decode("utf-8", "replace").strip()[:100]
        raise _unsafe(path, f"fails ({reason})" if reason else "fails")
    if child.returncode == 0:
        remember(contents)


def remember(contents: bytes) -> None:
    """Record that a tokenizer.json needs no trial."""
    record = _record(contents)
    with suppress(OSError):  # without the record, the next use tries it again
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()


def _record(contents: bytes) -> Path:
    """The file whose existence says that the tokenizer passed."""
    return cache_folder() / "tokenizers" / f"{hashlib.sha256(contents).hexdigest()}-{version('tokenizers')}"


def _unsafe(path: Path, problem: str) -> UserError:
    return UserError(
        f"the tokenizer at '{path}' is not safe to use: it {problem} on a short text; use another release of the model"
    )
