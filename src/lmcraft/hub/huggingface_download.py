"""One repository in the Hugging Face cache: verified, resumable downloads.

The layout is that of huggingface_hub (https://huggingface.co/docs/huggingface_hub/guides/manage-cache): `blobs/` holds files
under their hashes, `snapshots/COMMIT/` links to them, and `refs/` maps branches to commits. We do not use the library's own
download: version 2 restarts interrupted files, and accepts any file of the right length.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from huggingface_hub import constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, though lazily so
    WeakFileLock,
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    httpx,  # the one that this version of the library uses
)

from lmcraft.errors import RunError, UserError
from lmcraft.folder import sha256_of
from lmcraft.hub.address import COMMIT, HubAddress
from lmcraft.hub.download_cache import VerifiedFile, cache_folder
from lmcraft.hub.download_progress import byte_bar

_MAX_FAILURES = 5  # in a row, without receiving a byte
_MAX_PAUSE_SECONDS = 8.0


def is_transient(error: Exception) -> bool:
    """Whether a retry may succeed: network and server errors, but not missing files or denied access."""
    return not isinstance(error, HfHubHTTPError) or error.response.status_code in (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it; `digest` is its SHA-256, or git's blob SHA-1 for a small file."""

    size: int
    digest: str

    def matches(self, file: Path) -> bool:
        """Whether a local file has this size and hash."""
        if file.stat().st_size != self.size:
            return False
        if len(self.digest) == 64:
            return sha256_of(file) == self.digest
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.digest


class CachedRepository:
    """The cached repository of an address."""

    def __init__(self, address: HubAddress) -> None:
        self.address = address
        self._name = repo_folder_name(repo_id=address.repository, repo_type="model")
        self.folder = Path(constants.HF_HUB_CACHE) / self._name

    def ref(self) -> Path:
        """The file with the commit of the address's revision."""
        return self.folder / "refs" / (self.address.revision or constants.DEFAULT_REVISION)

    def cached_commit(self) -> str | None:
        """The commit of the address according to the cache; None if unknown."""
        if self.address.revision and COMMIT.fullmatch(self.address.revision):
            return self.address.revision
        commit = self.ref().read_text(encoding="utf-8").strip() if self.ref().is_file() else ""
        return commit if COMMIT.fullmatch(commit) else None

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def record(self, commit: str) -> Path:
        """The record of the verified files of this address."""
        name = f"{commit}/{self.address.file}" if self.address.file else commit
        return cache_folder() / "hf" / self._name / f"{name}.json"

    def linked_files(self, commit: str) -> dict[str, RemoteFile]:
        """The cached files of a commit; each link's target is named by its hash, whichever program downloaded it."""
        snapshot = self.snapshot(commit)
        links = [path for path in snapshot.rglob("*") if path.is_symlink() and path.is_file()]
        return {p.relative_to(snapshot).as_posix(): RemoteFile(p.stat().st_size, p.readlink().name) for p in links}

    def require_space(self, commit: str, files: dict[str, RemoteFile]) -> None:
        """Raise RunError unless the missing files fit on the disk."""
        snapshot = self.snapshot(commit)
        partial = {name: self._partial(file) for name, file in files.items() if not (snapshot / name).exists()}
        needed = sum(files[name].size - (path.stat().st_size if path.exists() else 0) for name, path in partial.items())
        self.folder.mkdir(parents=True, exist_ok=True)
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise RunError(
                f"{self.address} needs {needed / 1e9:.1f} GB and the disk of '{self.folder}' has {free / 1e9:.1f} GB left; "
                "free some space, or set HF_HOME to a folder on another disk"
            )

    def get(
        self, commit: str, name: str, file: RemoteFile, record: VerifiedFile | None, *, download: bool, recheck: bool
    ) -> VerifiedFile:
        """Make sure that a file is cached and correct, downloading it if necessary; returns its record.

        Raises:
            RunError: it does not match its hash (and is removed), or it is missing and `download` is false.
        """
        path = self.snapshot(commit) / name
        if not path.exists():
            if not download:
                raise RunError(f"'{name}' of {self.address} is missing from the cache; download it again")
            is_checked = self._download(commit, name, file)
        elif record and not recheck and record.is_untouched(path):
            return record
        else:
            is_checked = False
        if not is_checked and not file.matches(path):
            self._remove(path)
            raise RunError(
                f"'{name}' of {self.address} was damaged on disk: its hash is not {file.digest}; it has been removed, "
                "download it again"
            )
        return VerifiedFile.now(path, file.digest if len(file.digest) == 64 else sha256_of(path))

    def _blob(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.digest

    def _partial(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / f"{file.digest}.lmcraft.incomplete"

    def _download(self, commit: str, name: str, file: RemoteFile) -> bool:
        """Download a file, resuming an earlier attempt; returns whether it was downloaded (and verified) now."""
        path, blob, partial = self.snapshot(commit) / name, self._blob(file), self._partial(file)
        lock = Path(constants.HF_HUB_CACHE) / ".locks" / self._name / f"{file.digest}.lock"  # the library's own lock
        for file_path in (lock, blob, path):
            file_path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if is_new := not path.exists() and not blob.exists():
                self._resume(partial, commit, name, file)
                if not file.matches(partial):
                    partial.unlink()
                    raise RunError(
                        f"'{name}' of {self.address} was damaged in transit: its hash is not {file.digest}; it has been "
                        "removed, download it again"
                    )
                partial.replace(blob)
            if not path.exists():
                _link(blob, path)
        return is_new

    def _resume(self, partial: Path, commit: str, name: str, file: RemoteFile) -> None:
        if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise UserError(
                f"'{name}' of {self.address} has {file.size / 1e9:.0f} GB, which only the hub's own client can download; "
                f"run `hf download {self.address.repository} {name} --revision {commit}`, then try again"
            )
        if partial.exists() and partial.stat().st_size > file.size:
            partial.unlink()
        with partial.open("ab") as handle, byte_bar(name, file.size) as show:
            failures = 0
            while (start := handle.tell()) < file.size:
                error: Exception = RunError(
                    f"the hub sends fewer bytes of '{name}' of {self.address} than it lists; try again later"
                )
                try:
                    for chunk in self._stream(commit, name, handle):
                        handle.write(chunk)
                        show(handle.tell())
                        if handle.tell() > file.size:
                            raise RunError(
                                f"the hub sends more bytes of '{name}' of {self.address} than it lists; try again later"
                            )
                except (httpx.TransportError, HfHubHTTPError) as caught:
                    if not is_transient(caught):
                        raise
                    error = caught
                if handle.tell() < file.size:
                    failures = 0 if handle.tell() > start else failures + 1
                    if failures > _MAX_FAILURES:
                        raise error
                    time.sleep(min(2**failures, _MAX_PAUSE_SECONDS))
            handle.flush()
            os.fsync(handle.fileno())

    def _stream(self, commit: str, name: str, handle: BinaryIO) -> Iterator[bytes]:
        """Yield a file's bytes from the position of `handle`, which is truncated first if the server ignores Range."""
        url = hf_hub_url(self.address.repository, name, revision=commit, endpoint=constants.ENDPOINT)
        headers = build_hf_headers(library_name="lmcraft", library_version=version("lmcraft"))
        headers |= {"Accept-Encoding": "identity"}  # a compressed transfer cannot be resumed
        if handle.tell():
            headers["Range"] = f"bytes={handle.tell()}-"
        with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
            hf_raise_for_status(response)
            if response.status_code != 206:
                handle.seek(0)
                handle.truncate()
            yield from response.iter_bytes()

    def _remove(self, path: Path) -> None:
        if path.is_symlink():
            (self.folder / "blobs" / path.readlink().name).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _link(blob: Path, path: Path) -> None:
    """Atomically link `path` to `blob`; without symlinks, move the file itself, as the library does."""
    new = path.with_name(f".{uuid4().hex}.link")
    try:
        if constants.HF_HUB_DISABLE_SYMLINKS:
            raise NotImplementedError
        new.symlink_to(os.path.relpath(blob, path.parent))
        new.replace(path)
    except (OSError, NotImplementedError):
        new.unlink(missing_ok=True)
        blob.replace(path)
