"""Opens the files of a survey."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lmcraft.errors import RunError
from lmcraft.preparation.contracts import InputFile


@contextmanager
def open_stored(file: InputFile) -> Iterator[BinaryIO]:
    """Open a file as it is stored, compressed or not.

    Raises:
        RunError: it has changed since the survey, or cannot be reached.
    """
    with Path(file.path).open("rb") as stream:
        if (size := Path(file.path).stat().st_size) != file.size:
            raise RunError(
                f"'{file.path}' has changed since it was surveyed (from {file.size:,} to {size:,} bytes): "
                "run the same command again"
            )
        yield stream


def is_remote(path: str) -> bool:
    """Whether a path is an address, such as s3://bucket/file."""
    return "://" in path
