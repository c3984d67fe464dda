"""Files on S3, HTTP and other servers, through fsspec: listed, identified, and read in ranges."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from glob import has_magic
from inspect import signature
from typing import Any, BinaryIO, TypeVar, cast

from lmcraft.data.source_files import is_included
from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.extras import import_optional

FETCH_BYTES = 4 << 20  # read at a time
EXCLUDED = "excluded"
UNKNOWN = -1  # the size of a file whose server does not say it
ATTEMPTS = 6  # of a request
RETRY_SECONDS = 0.5  # before the second attempt; twice as long before each next one
VERSIONS = ("ETag", "etag", "Last-Modified", "LastModified", "blob_id", "generation", "mtime")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "http": "aiohttp", "https": "aiohttp"}  # besides fsspec, by protocol
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a server says of a file."""

    url: str
    size: int
    """In bytes; `UNKNOWN` if the server does not say."""
    version: str
    """Hash of what changes with the file, as far as the server says."""
    ranges: bool
    """Parts of it can be read."""


def is_remote(path: str) -> bool:
    """Whether a path is an address, such as s3://bucket/file."""
    return "://" in path


def list_remote(address: str, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[tuple[RemoteFile, str]]:
    """The files of an address, folder or pattern, in order, each with the reason why it is left out, or an empty text.

    Raises:
        UserError: there is nothing at the address, or it may not be read.
        RunError: the server cannot be reached.
    """
    if not address.partition("://")[2].strip("/"):
        raise UserError(f"address '{address}' names no file: use one such as s3://bucket/folder/ or https://host/file.jsonl")
    files, path = _open_system(address)
    is_web = address.startswith("http")
    with _explained(address, is_read=False):
        if has_magic(path) and not is_web:
            entries = _retry(lambda: files.glob(path, detail=True))
            listed = [(name, "") for name, info in sorted(entries.items()) if info["type"] == "file"]
        elif path.endswith("/") or (not is_web and _retry(lambda: files.info(path))["type"] == "directory"):
            entries = _retry(lambda: files.find(path, detail=True))
            listed = [(name, _reason(name, path, include, exclude)) for name in sorted(entries)]
        else:
            entries, listed = {}, [(path, "")]
        if not listed:
            raise FileNotFoundError(path)
        kept = [(_describe(files, name, entries.get(name)), reason) for name, reason in listed if reason != EXCLUDED]
        return [(file, reason or ("empty" if file.size == 0 else "")) for file, reason in kept]


def _reason(name: str, folder: str, include: Sequence[str], exclude: Sequence[str]) -> str:
    relative = name.removeprefix(folder.rstrip("/")).lstrip("/")
    if any(part.startswith(".") for part in relative.split("/")):
        return "hidden"
    return "" if is_included(relative, include, exclude) else EXCLUDED


def _describe(files: Any, name: str, info: Mapping[str, Any] | None) -> RemoteFile:
    """What a server says of a file; `info` is what its listing of a folder says."""
    url = files.unstrip_protocol(name)
    if info is None or not any(info.get(field) for field in VERSIONS):
        info = _retry(lambda: files.info(url))
    size = _size(info)
    ranges = size > 0 and info.get("partial", True)
    if ranges and url.startswith("http"):
        ranges = _retry(lambda: _sends_ranges(files, url, size))
    return RemoteFile(url, size, _version(info), ranges)


def _size(info: Mapping[str, Any]) -> int:
    return UNKNOWN if info.get("size") is None else int(info["size"])


def _version(info: Mapping[str, Any]) -> str:
    version = next((str(info[field]) for field in VERSIONS if info.get(field)), "")
    return hashlib.sha256(f"{version}/{_size(info)}".encode()).hexdigest()


def _sends_ranges(files: Any, url: str, size: int) -> bool:
    with files.open(url, "rb", cache_type="none", size=size) as file:
        file.seek(min(1, size - 1))
        try:
            file.read(1)
        except ValueError:  # what fsspec raises if all of the file comes
            return False
    return True


@contextmanager
def open_remote(url: str, version: str, *, ranges: bool) -> Iterator[BinaryIO]:
    """Open a file on a server; one that does not send ranges can only be read from its start.

    Args:
        url: its address.
        version: of the survey.
        ranges: whether the server sends ranges.

    Raises:
        RunError: the file has changed since the survey, or the server cannot be reached.
    """
    files, _ = _open_system(url)
    with _explained(url):
        _check_version(files, url, version)
    raw = _RangeReader(files, url) if ranges else _StreamReader(files, url)
    with io.BufferedReader(raw, FETCH_BYTES) as stream:
        yield cast(BinaryIO, stream)
    with _explained(url):
        _check_version(files, url, version)


def _check_version(files: Any, url: str, version: str) -> None:
    if _version(_retry(lambda: files.info(url))) != version:
        raise _changed(url)


def _changed(url: str) -> RunError:
    return RunError(f"'{url}' has changed since it was surveyed: run the same command again to read the new version")


class _RemoteReader(io.RawIOBase):
    """Reads a file on a server from a position on."""

    _position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position


class _RangeReader(_RemoteReader):
    """Reads ranges of a file on a server."""

    def __init__(self, files: Any, url: str) -> None:
        self._url = url
        with _explained(url):
            self._file = _retry(lambda: files.open(url, "rb", cache_type="none"))
        self._size = int(self._file.size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # io gives a memoryview
        count = max(min(len(buffer), self._size - self._position), 0)
        if not count:
            return 0
        with _explained(self._url):
            block = _retry(lambda: self._fetch(count))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)

    def _fetch(self, count: int) -> bytes:
        self._file.seek(self._position)
        block = bytes(self._file.read(count))
        if not block:
            raise OSError("the server sent nothing")
        return block


class _StreamReader(_RemoteReader):
    """Reads a file whose server does not send ranges, from its start on."""

    def __init__(self, files: Any, url: str) -> None:
        self._files, self._url = files, url
        self._file: Any = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target not in (0, self._position):
            raise io.UnsupportedOperation("the server does not send ranges")
        if target != self._position:
            self._close()
        return target

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # io gives a memoryview
        with _explained(self._url):
            if self._file is None:
                self._file = _retry(lambda: self._files.open(self._url, "rb", block_size=0))
            block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._position = None, 0

    def close(self) -> None:
        self._close()
        super().close()


@cache
def _system(protocol: str) -> Any:
    fsspec = import_optional("fsspec", "remote", f"'{protocol}://'")
    if package := PACKAGES.get(protocol):
        import_optional(package, "remote", f"'{protocol}://'")
    options = {"config_kwargs": {"retries": {"max_attempts": 1}}} if package == "s3fs" else {}  # `_retry` does it
    try:
        signature(fsspec.get_filesystem_class(protocol).__init__).bind(
            None, **options
        )  # a half-made system warns at its end
        return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)
    except Exception as error:  # each system raises its own, such as a TypeError if it needs more than an address
        detail = "" if isinstance(error, TypeError) else f" ({error})"
        raise UserError(f"addresses of {protocol}:// cannot be read{detail}: use s3://, http:// or https://") from error


def _open_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    files = _system(address.partition("://")[0])
    return files, files._strip_protocol(address) + ("/" if address.endswith("/") else "")


def _retry(request: Callable[[], T]) -> T:
    """The result of a request, which is made again if it fails for a reason that may pass."""
    for attempt in range(ATTEMPTS):
        try:
            return request()
        except Exception as error:
            if attempt + 1 == ATTEMPTS or not _may_pass(error):
                raise
            time.sleep(RETRY_SECONDS * 2**attempt)
    raise AssertionError


def _may_pass(error: Exception) -> bool:
    error = _cause_of(error)
    lasting = (LmcraftError, FileNotFoundError, PermissionError, NotImplementedError, ValueError)
    status = getattr(error, "status", 500)  # of HTTP
    is_lasting = isinstance(error, lasting) or type(error).__name__ in ("FileExpired", "NoCredentialsError")
    return not is_lasting and (status >= 500 or status in (408, 429))


def _cause_of(error: Exception) -> Exception:
    """What went wrong: fsspec takes every error of an HTTP server, and of the way to it, for a missing file."""
    cause = error.__cause__
    is_web = isinstance(cause, Exception) and type(cause).__module__.startswith("aiohttp")
    is_missing = getattr(cause, "status", 0) in (404, 410)
    return cause if isinstance(error, FileNotFoundError) and is_web and not is_missing else error  # type: ignore[return-value]


@contextmanager
def _explained(url: str, *, is_read: bool = True) -> Iterator[None]:
    """Turn what goes wrong with a server into one sentence; before a file is read, its address may be at fault."""
    kind = RunError if is_read else UserError
    try:
        yield
    except LmcraftError:
        raise
    except Exception as raised:
        error = _cause_of(raised)
        name, detail = type(error).__name__, " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, FileNotFoundError):
            remedy = "restore it, and run the same command again" if is_read else "check the address"
            raise kind(f"'{url}' does not exist; {remedy}") from raised
        if name == "FileExpired":
            raise _changed(url) from raised
        if isinstance(error, PermissionError) or name == "NoCredentialsError" or getattr(error, "status", 0) in (401, 403):
            raise kind(
                f"'{url}' may not be read ({detail}): set the credentials, such as AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket"
            ) from raised
        raise RunError(
            f"'{url}' cannot be read ({detail}): check the connection and the server, and run the same command again; "
            "what is finished is kept"
        ) from raised
