"""How many parameters a run's model has, from the headers of its files of weights."""

import json
import os
from math import prod
from pathlib import Path

from lmcraft.folder import ModelFolder
from lmcraft.runs.small_files import open_regular

WEIGHTS = "model.safetensors"
MAX_HEADER_BYTES = 4 * 2**20


def count_parameters(folder: ModelFolder) -> int | None:
    """The number of parameters of a run's model, or of one of its checkpoints; None if no file says it."""
    counts = (_count(path / WEIGHTS) for path in (folder.path, *_checkpoints(folder.checkpoints)))
    return next((count for count in counts if count), None)


def _checkpoints(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.name.startswith("step-")][:8]
    except OSError:
        return []


def _count(file: Path) -> int | None:
    try:
        with os.fdopen(open_regular(file), "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > MAX_HEADER_BYTES:
                return None
            header = json.loads(opened.read(length))
        return int(sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
