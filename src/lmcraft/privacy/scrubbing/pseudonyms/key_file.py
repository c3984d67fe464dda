"""The key of pseudonyms, on disk: whoever has the file can restore every passage."""

import os
import secrets
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder import missing_path_error
from lmcraft.privacy.scrubbing.pseudonyms.cipher import KEY_BYTES

PREFIX = "lmcraft-scrubbing-key-1:"


def create_key_file(path: Path) -> bytes:
    """Write a new random key to a file that only its owner can read.

    Raises:
        UserError: there is such a file, or it cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UserError(f"'{path}' exists: a key is never replaced, since texts could not be restored") from error
    except OSError as error:
        raise UserError(f"the key file '{path}' cannot be written ({error.strerror}): choose another path") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{PREFIX}{key.hex()}\n")
    return key


def read_key_file(path: Path) -> bytes:
    """The key in a file.

    Raises:
        UserError: there is no such file, or it has no key.
    """
    if not path.is_file():
        raise missing_path_error(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"the key file '{path}' cannot be read ({error.strerror})") from error
    digits = content.strip().removeprefix(PREFIX.encode())
    try:
        key = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        key = b""
    if not content.startswith(PREFIX.encode()) or len(key) != KEY_BYTES:
        raise UserError(f"'{path}' is no key file of lmcraft scrub, or is damaged: restore it from a copy")
    return key
