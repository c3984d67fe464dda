"""API keys: read from the command line or from a file of hashes, and checked with every request."""

import hashlib
import hmac
import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.server.errors import ApiError
from lmcraft.text_file import read_text

DEFAULT_NAME = "default"
"""The name of every key given on the command line. They belong to one user, who keeps their chats when the key changes."""
QUOTA_FIELDS = ("requests_per_minute", "tokens_per_minute")
Role = Literal["reviewer", "adjudicator", "owner"]
"""What a key may do with the items that people review; each may do what those before it may. Owners also stop and resume
runs."""
ROLES: tuple[Role, ...] = get_args(Role)
FIELDS = ("sha256", *QUOTA_FIELDS, "role")
NAME_PATTERN = re.compile(r"[\w.@-]{1,64}")
KEY_BYTES = 32


@dataclass(frozen=True)
class Key:
    """An API key as the server keeps it."""

    name: str
    sha256: str
    """Hash of the key, in hexadecimal. One unsalted round is enough here, unlike for passwords: a generated key has 256
    random bits, which nobody can guess, and a slow hash would delay every request."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    role: Role | None = None
    """None: it may not review."""


class Keys:
    """The API keys of a server. A server without keys is open, and everyone is the owner ''."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)
        self._roles = {key.name: key.role for key in self._keys}

    @classmethod
    def read(cls, plain_keys: Iterable[str] = (), file: Path | None = None) -> "Keys":
        """Keys in plain text, all named `DEFAULT_NAME`, and those of a TOML file with a table [NAME] of `FIELDS` per key.

        Raises:
            UserError: a key cannot be sent in a header; the file is missing, malformed or without keys; a key or a name
                occurs twice.
        """
        # Without a file there is a single user, who may do everything; with one, it says who may.
        role: Role | None = "owner" if file is None else None
        keys = [_key_of_plain_text(key, role) for key in dict.fromkeys(plain_keys)]
        file_keys = [] if file is None else read_file(file)
        if file is not None and not file_keys:  # it would open the server to everyone
            remedy = f"add one with `lmcraft serve --api-keys {file} --new-api-key NAME`, or leave api_keys out"
            raise UserError(f"api_keys='{file}' has no keys: {remedy}")
        if keys and any(key.name == DEFAULT_NAME for key in file_keys):
            raise UserError(
                f"'{file}' has a key named '{DEFAULT_NAME}', the name of keys given as --api-key; rename it, or use only one"
            )
        names: dict[str, str] = {}
        for key in (*keys, *file_keys):
            if key.sha256 in names:
                raise UserError(f"the keys '{names[key.sha256]}' and '{key.name}' are the same; give each name its own key")
            names[key.sha256] = key.name
        return cls((*keys, *file_keys))

    @staticmethod
    def generate() -> str:
        """A new key with 256 random bits."""
        return f"lmc-{secrets.token_urlsafe(KEY_BYTES)}"

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __bool__(self) -> bool:
        """Whether clients need a key."""
        return bool(self._keys)

    def role_of(self, name: str) -> Role | None:
        """The role of the key with this name in reviews; None: it has none. Whoever uses an open server is its owner."""
        return self._roles.get(name) if self._keys else "owner"

    def identify(self, headers: Mapping[str, str]) -> str:
        """The name of the key in `Authorization: Bearer KEY` or `x-api-key: KEY`; '' if the server is open.

        Args:
            headers: the request's, with lower-case names, or case-insensitive like Starlette's.

        Raises:
            ApiError: the key is missing or unknown (401).
        """
        if not self._keys:
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            key = headers.get("x-api-key", "")
        if not key.strip():
            message = "this server needs an API key; send the header Authorization: Bearer KEY"
            raise _unauthorized(message, "missing_api_key", "Bearer")
        digest, name = _hash(key.strip()), None
        for candidate in self._keys:  # compare all of them in constant time, so that the time reveals nothing
            if hmac.compare_digest(candidate.sha256, digest):
                name = candidate.name
        if name is None:
            message = "this API key is unknown; check it, or ask for a new one"
            raise _unauthorized(message, "invalid_api_key", 'Bearer error="invalid_token"')
        return name


def _unauthorized(message: str, code: str, challenge: str) -> ApiError:
    return ApiError(401, message, code=code, headers={"WWW-Authenticate": challenge})


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _key_of_plain_text(key: str, role: Role | None) -> Key:
    if not re.fullmatch(r"[!-~]+", key):
        raise UserError("api_key must be visible ASCII characters without spaces, because it is sent in a header")
    return Key(DEFAULT_NAME, _hash(key), role=role)


def read_file(path: Path) -> list[Key]:
    """The keys of a TOML file.

    Raises:
        UserError: it is missing or malformed.
    """
    return _parse(path, _read_text(path))


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise UserError(f"api_keys='{path}' does not exist; create it with `lmcraft serve --new-api-key NAME`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"api_keys='{path}' cannot be read ({error}); check the path") from error


def _parse(path: Path, text: str) -> list[Key]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"api_keys='{path}' is not TOML ({error}); correct it") from error
    return [_parse_key(path, name, table) for name, table in tables.items()]


def _parse_key(path: Path, name: str, table: Any) -> Key:
    if not isinstance(table, dict):
        raise UserError(f"api_keys='{path}': '{name}' is outside any key's table; begin each key with a line [NAME]")
    if not NAME_PATTERN.fullmatch(name):
        raise UserError(f"api_keys='{path}': '{name}' is not a valid name; use up to 64 letters, digits and . _ - @")
    for field in table:
        if field not in FIELDS:
            matches = get_close_matches(field, FIELDS, 1)
            remedy = f"did you mean '{matches[0]}'?" if matches else f"use {', '.join(FIELDS)}"
            raise UserError(f"api_keys='{path}': the key '{name}' has an unknown field '{field}'; {remedy}")
    digest = table.get("sha256")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UserError(f"api_keys='{path}': sha256 of the key '{name}' must be 64 hexadecimal digits; create a new key")
    for field in QUOTA_FIELDS:
        if field in table and (type(table[field]) is not int or table[field] < 1):
            raise UserError(f"api_keys='{path}': {field}={table[field]} of the key '{name}' must be a whole number above 0")
    role = table.get("role")
    if role is not None and role not in ROLES:
        remedy = f"use {', '.join(ROLES[:-1])} or {ROLES[-1]}, or leave it out"
        raise UserError(f"api_keys='{path}': role={role!r} of the key '{name}' is unknown; {remedy}")
    return Key(name, digest.lower(), **{field: table[field] for field in (*QUOTA_FIELDS, "role") if field in table})


def add_to_file(
    path: Path,
    name: str,
    *,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    role: Role | None = None,
) -> str:
    """Generate a key and add its hash to a file. The file is created if needed, and only its owner can read it.

    Returns:
        The key itself, which is not stored.

    Raises:
        UserError: the file is malformed or cannot be written, the name is taken, or a value is invalid.
    """
    text = _read_text(path) if path.exists() else ""
    if name in {key.name for key in _parse(path, text)}:
        raise UserError(f"api_keys='{path}' already has a key '{name}'; choose another name, or delete that key")
    key = Keys.generate()
    settings = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "role": role}
    table = {"sha256": _hash(key), **{field: value for field, value in settings.items() if value is not None}}
    # Append, so that the comments in the file stay.
    text = (text.rstrip() + "\n\n" if text.strip() else "") + tomli_w.dumps({name: table})
    _parse(path, text)
    try:
        with (
            atomic_write(path) as temporary,
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file,
        ):
            file.write(text)
    except OSError as error:
        raise UserError(f"api_keys='{path}' cannot be written ({error.strerror}); choose another path") from error
    return key
