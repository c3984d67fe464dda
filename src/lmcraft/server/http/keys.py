"""API keys: kept as hashes, read from a file or given in plain, checked with every request."""

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
from typing import Any

import tomli_w

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.server.errors import ApiError

PLAIN = "default"
"""The name of keys that were given in plain. They are one owner's: such a key can be changed and the conversations stay."""


BOUNDS = ("requests_per_minute", "tokens_per_minute")


FIELDS = ("sha256", *BOUNDS)


NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Key:
    """What the server keeps of an API key."""

    name: str
    sha256: str
    """Of the key, in hexadecimal. One round without a salt is right here, unlike for passwords: a key of `Keys.generate` has
    256 random bits, which no one can run through, while every request would have to wait for a slow hash."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Keys:
    """The API keys of a server. Without any, it is open, and all that ask are the owner ''."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)

    @classmethod
    def read(cls, plain: Iterable[str] = (), file: Path | None = None) -> "Keys":
        """Keys in plain, all named `PLAIN`, and those of a TOML file: tables [NAME] with the `FIELDS`.

        Raises:
            UserError: a key cannot be sent in a header; the file is missing or damaged; a key or a name is there twice.
        """
        keys = [_plain_key(key) for key in dict.fromkeys(plain)]
        named = [] if file is None else read_file(file)
        if keys and any(key.name == PLAIN for key in named):
            raise UserError(f"'{file}' names a key '{PLAIN}', as keys given in plain are named: rename it, or give only one")
        seen: dict[str, str] = {}
        for key in (*keys, *named):
            if key.sha256 in seen:
                raise UserError(f"the keys '{seen[key.sha256]}' and '{key.name}' are one key: give every name its own")
            seen[key.sha256] = key.name
        return cls((*keys, *named))

    @staticmethod
    def generate() -> str:
        """A new key, of 256 random bits."""
        return f"lmc-{secrets.token_urlsafe(32)}"

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def identify(self, headers: Mapping[str, str]) -> str:
        """The name of the key in `Authorization: Bearer KEY`; '' where none is needed.

        Args:
            headers: of the request, by names in lower case or in any (as Starlette's).

        Raises:
            ApiError: there is no key, or an unknown one (401).
        """
        if not self._keys:
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unknown("this server needs an API key: send it in a header, Authorization: Bearer KEY", "Bearer")
        given, name = _hash(key.strip()), None
        for known in self._keys:  # all of them, in constant time each: how long this takes says nothing of any key
            if hmac.compare_digest(known.sha256, given):
                name = known.name
        if name is None:
            raise _unknown("this API key is not known here: check it, or ask for a new one", 'Bearer error="invalid_token"')
        return name


def _unknown(message: str, challenge: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": challenge})


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _plain_key(key: str) -> Key:
    if not re.fullmatch(r"[!-~]+", key):
        raise UserError("api_key must be visible ASCII characters without spaces, as it is sent in a header: choose another")
    return Key(PLAIN, _hash(key))


def read_file(path: Path) -> list[Key]:
    """The keys of a TOML file.

    Raises:
        UserError: it is missing or damaged.
    """
    return _parse(path, _text_of(path))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"api_keys='{path}' does not exist: make it with `lmcraft serve --new-api-key NAME`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"api_keys='{path}' cannot be read ({error}): check the path") from error


def _parse(path: Path, text: str) -> list[Key]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"api_keys='{path}' is not TOML ({error}): correct it") from error
    return [_named_key(path, name, said) for name, said in tables.items()]


def _named_key(path: Path, name: str, said: Any) -> Key:
    if not isinstance(said, dict):
        raise UserError(f"api_keys='{path}': '{name}' stands outside of a key: begin each key with a line [NAME]")
    if not NAME.fullmatch(name):
        raise UserError(f"api_keys='{path}': '{name}' cannot name a key: use up to 64 letters, digits and . _ - @")
    for field in said:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, 1)
            remedy = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(FIELDS)}"
            raise UserError(f"api_keys='{path}': the key '{name}' has an unknown field '{field}': {remedy}")
    digest = said.get("sha256")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UserError(f"api_keys='{path}': sha256 of the key '{name}' must be 64 hexadecimal digits: make a new key")
    for field in BOUNDS:
        if field in said and (type(said[field]) is not int or said[field] < 1):
            raise UserError(f"api_keys='{path}': {field}={said[field]} of the key '{name}' must be a whole number above 0")
    return Key(name, digest.lower(), *(said.get(field) for field in BOUNDS))


def add_to_file(
    path: Path, name: str, *, requests_per_minute: int | None = None, tokens_per_minute: int | None = None
) -> str:
    """Make a key and write its hash to a file of keys, which is made if need be and which only its owner can read.

    Returns:
        The key, which is kept nowhere.

    Raises:
        UserError: the file is damaged or cannot be written, the name is taken, or a value does not fit.
    """
    text = _text_of(path) if path.exists() else ""
    if name in {key.name for key in _parse(path, text)}:
        raise UserError(f"api_keys='{path}' has a key '{name}' already: choose another name, or delete that key")
    key = Keys.generate()
    bounds = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    said = {"sha256": _hash(key), **{field: value for field, value in bounds.items() if value is not None}}
    # Behind what is there, as it is: its comments stay.
    text = (text.rstrip() + "\n\n" if text.strip() else "") + tomli_w.dumps({name: said})
    _parse(path, text)
    try:
        with (
            atomic_write(path) as temporary,
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file,
        ):
            file.write(text)
    except OSError as error:
        raise UserError(f"api_keys='{path}' cannot be written ({error.strerror}): choose another path") from error
    return key
