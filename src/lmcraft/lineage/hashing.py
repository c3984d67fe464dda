"""Hashes of files, and which files of a folder a lineage covers."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

from lmcraft.folder.layout import ModelFolder, is_document, is_model_file
from lmcraft.folder.names import LINEAGE, RUN, RUN_CONFIG, SKIPPED

CHUNK_BYTES = 4 * 2**20
MAX_FILES = 100_000  # of a folder
# Files that a program could load from a model or dataset folder, by suffix.
LOADED_SUFFIXES = frozenset(
    (
        *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".onnx", ".h5", ".msgpack", ".npy", ".npz"),
        *(".pkl", ".pickle", ".joblib", ".py", ".so", ".json", ".jsonl", ".csv", ".gz", ".model", ".jinja", ".toml"),
        *(".tiktoken", ".vocab", ".parquet", ".arrow"),
    )
)
# What commands write again later, and reports of what happened, which no program computes with.
NOT_COVERED = (LINEAGE, "energy.json")
FOLDERS = ("additional_chat_templates", "1_Pooling")
# The files of `lmcraft/` that are written until a model is finished.
RECORDS = (
    *(RUN_CONFIG, SKIPPED, "history.jsonl", "metrics.jsonl", "samples.jsonl", "before.json", "evaluation.json"),
    *("labels.json", "quantization.json", "forgetting.json"),
)


def covered_files(folder: Path) -> list[str]:
    """The paths of the files in a model or dataset folder that a lineage covers, in order.

    They are those that programs load and the records of the run. Documents for people, reports and results of evaluations
    are left out: they change later.
    """
    names = [entry.name for entry in _entries(folder) if is_covered(entry.name) and not Path(entry.path).is_dir()]
    nested = [f"{name}/{entry.name}" for name in FOLDERS for entry in _entries(folder / name)]
    records = [f"{RUN}/{name}" for name in RECORDS if os.path.lexists(folder / RUN / name)]
    return sorted([*names, *nested, *records])


def is_covered(name: str) -> bool:
    """Whether a lineage covers the file of this name in a model or dataset folder."""
    if name.startswith(".") or name in NOT_COVERED or is_document(name):
        return False
    return is_model_file(name) or Path(name).suffix.lower() in LOADED_SUFFIXES


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry, _ in zip(entries, range(MAX_FILES), strict=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def hash_file(path: Path, report: Callable[[int], object] | None = None) -> str:
    """SHA-256 of a file; it is read once per process, unless it changes.

    Args:
        path: the file, or a link to one.
        report: called with the number of bytes of each chunk that was read, or of the whole if it was read before.

    Raises:
        OSError: it cannot be read, or is neither a file nor a link to one.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"'{path}' is not a file")
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    digest = _read(path, key, report) if report else _hash_once(path, key)
    return digest


@lru_cache(maxsize=4096)
def _hash_once(path: Path, key: tuple[int, ...]) -> str:
    return _read(path, key, lambda size: None)


def _read(path: Path, key: tuple[int, ...], report: Callable[[int], object]) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            report(len(chunk))
    return digest.hexdigest()


def hash_files(folder: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of files by their paths in a folder."""
    return {name: hash_file(folder / name) for name in names}


@cache
def hash_package() -> str:
    """SHA-256 of the files of this package, without what Python and compilers derive from them."""
    package = Path(__file__).parents[1]
    lines = [f"{hash_file(file)}  {file.relative_to(package).as_posix()}\n" for file in sorted(_sources(package))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sources(package: Path) -> Iterator[Path]:
    for file in package.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("."):
            yield file


def fingerprint(path: Path) -> str:
    """SHA-256 of a model's lineage, or of its file or its weights if it has none."""
    lineage = ModelFolder(path).lineage
    if path.is_file() or lineage.is_file():
        return hash_file(lineage if lineage.is_file() else path)
    lines = (f"{hash_file(file)}  {file.name}\n" for file in sorted(path.glob("*.safetensors")))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
