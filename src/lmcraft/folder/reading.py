"""Reads the JSON files of model folders, which may come from strangers; hashes of files."""

import hashlib
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder.mismatch import has_file
from lmcraft.json_lines import is_deeper, parse_json

MAX_JSON_BYTES = 64 * 2**20
MAX_DEPTH = 64


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: the file cannot be read, is too large, is not a JSON object, or is nested too deeply.
    """
    has_file(path)
    try:
        if (size := path.stat().st_size) > MAX_JSON_BYTES:
            raise UserError(f"'{path}' has {size:,} bytes, and {MAX_JSON_BYTES:,} at most are read; download it again")
        value = parse_json(path.read_bytes())
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); check that it is a readable file") from error
    except ValueError as error:
        raise UserError(f"'{path}' is damaged: it is {error}; download or save it again") from error
    if not isinstance(value, dict):
        raise UserError(f"'{path}' is not a JSON object; download or save it again")
    if is_deeper(value, MAX_DEPTH):
        raise UserError(f"'{path}' is nested more than {MAX_DEPTH} levels deep; download or save it again")
    return value


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
