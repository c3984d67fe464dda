"""Opens the files of a survey."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lmcraft.errors import RunError
from lmcraft.preparation.contracts import InputFile
from lmcraft.preparation.inputs.remote import is_remote, open_remote


@contextmanager
def open_stored(file: InputFile) -> Iterator[BinaryIO]:
    """Open a file as it is stored, compressed or not.

    Raises:
        RunError: it has changed since the survey, or cannot be reached.
    """
    if is_remote(file.path):
        with open_remote(file.path, file.sha256, ranges=file.ranges) as stream:
            yield stream
        return
    path = Path(file.path)
    with path.open("rb") as stream:
        if (size := path.stat().st_size) != file.size:
            raise RunError(
                f"'{file.path}' has changed since it was surveyed (from {file.size:,} to {size:,} bytes): "
                "run the same command again"
            )
        yield stream
