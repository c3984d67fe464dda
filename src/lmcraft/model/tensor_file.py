"""Writes tensors as a safetensors file."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lmcraft.folder import atomic_write

SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust ends the text of an error of the operating system


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically, readable for everyone whom the umask allows.

    Args:
        tensors: by name.
        path: of the file.
        metadata: texts in the file's header.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    with atomic_write(path) as temporary:
        try:
            save_file(
                {name: tensor.cpu() for name, tensor in tensors.items()},
                temporary,
                metadata={"format": "pt", **(metadata or {})},
            )
        except SafetensorError as error:
            if number := SYSTEM_ERROR.search(str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1])), str(temporary)) from error
            raise
        temporary.chmod(0o644)  # safetensors creates files that only the owner can read
