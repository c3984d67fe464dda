"""The secret of a run, from which its sampling and its noise follow: whoever has it can subtract the noise."""

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder

BYTES = 32
FILE = "dp_secret"


@dataclass(frozen=True)
class Secret:
    """256 random bits, and random generators that follow from them."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(BYTES), repr=False)

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A generator for one purpose, whose numbers are independent of those for any other."""
        name = "\0".join(map(str, purpose)).encode()
        digest = hashlib.blake2b(name, key=self.key, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))

    def save(self, run: ModelFolder) -> None:
        """Write the secret to the folder of a run, so that only its owner can read it."""
        file = secret_file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(self.key)
            stream.flush()
            os.fsync(stream.fileno())

    @classmethod
    def load(cls, run: ModelFolder) -> "Secret":
        """Read the secret of a run that is continued.

        Raises:
            UserError: it is gone, or damaged.
        """
        file = secret_file(run)
        if not file.is_file():
            raise UserError(
                f"'{file}' is gone, without which the run in '{run.path}' cannot draw the same noise again: it was deleted "
                "when the run was finished, so start a new run with another --out"
            )
        key = file.read_bytes()
        if len(key) != BYTES:
            raise UserError(f"'{file}' is damaged: restore it from a copy, or start a new run with another --out")
        return cls(key)


def secret_file(run: ModelFolder) -> Path:
    """Where the secret of a run is while the run can be continued."""
    return run.run / FILE


def forget_secret(run: ModelFolder) -> None:
    """Overwrite and delete the secret of a finished run, if it is there."""
    file = secret_file(run)
    if file.is_file():
        file.write_bytes(bytes(BYTES))
        file.unlink()
