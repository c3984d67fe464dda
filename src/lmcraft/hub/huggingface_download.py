"""One repository in the Hugging Face cache, and how a file gets into it.

The cache's layout is the library's (https://huggingface.co/docs/huggingface_hub/guides/manage-cache): `blobs/` holds files
under their hashes, `snapshots/COMMIT/` links to them, `refs/` says which commit a branch was. The download is not the
library's: version 2 starts an interrupted file afresh, and takes one for whole when it is long enough.
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
from lmcraft.hub.download_cache import Checked, cache_folder
from lmcraft.hub.download_progress import byte_bar

_TRIES = 5  # without a byte between them
_LONGEST_PAUSE = 8.0  # seconds


def is_passing(error: Exception) -> bool:
    """Whether the network or the server may do better soon; no such file, or no leave to have it, stays so."""
    return not isinstance(error, HfHubHTTPError) or error.response.status_code in (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """What the hub says of a file: `digest` is its SHA-256, or for a small file git's SHA-1 of a blob."""

    size: int
    digest: str

    def is_in(self, file: Path) -> bool:
        if file.stat().st_size != self.size:
            return False
        if len(self.digest) == 64:
            return sha256_of(file) == self.digest
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.digest


class Repository:
    """The repository of an address, in the cache."""

    def __init__(self, address: HubAddress) -> None:
        self.address = address
        self._name = repo_folder_name(repo_id=address.repository, repo_type="model")
        self.folder = Path(constants.HF_HUB_CACHE) / self._name

    def ref(self) -> Path:
        """The file that holds the commit of the address's revision."""
        return self.folder / "refs" / (self.address.revision or constants.DEFAULT_REVISION)

    def known_commit(self) -> str | None:
        """The commit of the address, as far as this disk knows."""
        if self.address.revision and COMMIT.fullmatch(self.address.revision):
            return self.address.revision
        commit = self.ref().read_text(encoding="utf-8").strip() if self.ref().is_file() else ""
        return commit if COMMIT.fullmatch(commit) else None

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def record(self, commit: str) -> Path:
        """The file that holds what was checked for this address."""
        what = f"{commit}/{self.address.file}" if self.address.file else commit
        return cache_folder() / "hf" / self._name / f"{what}.json"

    def linked_files(self, commit: str) -> dict[str, RemoteFile]:
        """The files of a commit that are here: a link's target is named by its hash, whichever program fetched it."""
        snapshot = self.snapshot(commit)
        links = [path for path in snapshot.rglob("*") if path.is_symlink() and path.is_file()]
        return {p.relative_to(snapshot).as_posix(): RemoteFile(p.stat().st_size, p.readlink().name) for p in links}

    def require_space(self, commit: str, files: dict[str, RemoteFile]) -> None:
        """Raises RunError unless the files that are not here yet fit on the disk."""
        here = self.snapshot(commit)
        partial = {name: self._partial(file) for name, file in files.items() if not (here / name).exists()}
        needed = sum(files[name].size - (path.stat().st_size if path.exists() else 0) for name, path in partial.items())
        self.folder.mkdir(parents=True, exist_ok=True)
        if needed > (free := shutil.disk_usage(self.folder).free):
            raise RunError(
                f"{self.address} needs {needed / 1e9:.1f} GB and the disk of '{self.folder}' has {free / 1e9:.1f} GB left: "
                "free some, or set HF_HOME to a folder on another disk"
            )

    def get(
        self, commit: str, name: str, file: RemoteFile, known: Checked | None, *, download: bool, recheck: bool
    ) -> Checked:
        """Make sure that a file is here and right.

        Raises:
            RunError: it is not what its hash says (and removed), or is not here and may not be downloaded.
        """
        path = self.snapshot(commit) / name
        if not path.exists():
            if not download:
                raise RunError(f"'{name}' of {self.address} is gone from this disk: fetch it again")
            is_checked = self._download(commit, name, file)
        elif known and not recheck and known.is_untouched(path):
            return known
        else:
            is_checked = False
        if not is_checked and not file.is_in(path):
            self._remove(path)
            raise RunError(
                f"'{name}' of {self.address} was damaged on this disk: its hash is not {file.digest}, so it was removed; "
                "fetch it again"
            )
        return Checked.now(path, file.digest if len(file.digest) == 64 else sha256_of(path))

    def _blob(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.digest

    def _partial(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / f"{file.digest}.lmcraft.incomplete"

    def _download(self, commit: str, name: str, file: RemoteFile) -> bool:
        """Get a file, going on with what an earlier run left; True where it was downloaded and so checked."""
        path, blob, partial = self.snapshot(commit) / name, self._blob(file), self._partial(file)
        lock = Path(constants.HF_HUB_CACHE) / ".locks" / self._name / f"{file.digest}.lock"  # as the library has it
        for needed in (lock, blob, path):
            needed.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if is_new := not path.exists() and not blob.exists():
                self._append(partial, commit, name, file)
                if not file.is_in(partial):
                    partial.unlink()
                    raise RunError(
                        f"'{name}' of {self.address} was damaged on its way: its hash is not {file.digest}, so it was "
                        "removed; fetch it again"
                    )
                partial.replace(blob)
            if not path.exists():
                _link(blob, path)
        return is_new

    def _append(self, partial: Path, commit: str, name: str, file: RemoteFile) -> None:
        if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise UserError(
                f"'{name}' of {self.address} has {file.size / 1e9:.0f} GB, which the hub gives to its own program only: run "
                f"`hf download {self.address.repository} {name} --revision {commit}`, then this again"
            )
        if partial.exists() and partial.stat().st_size > file.size:
            partial.unlink()
        with partial.open("ab") as handle, byte_bar(name, file.size) as show:
            failures = 0
            while (start := handle.tell()) < file.size:
                error: Exception = RunError(
                    f"the hub sends '{name}' of {self.address} shorter than it says: run again later"
                )
                try:
                    for chunk in self._stream(commit, name, handle):
                        handle.write(chunk)
                        show(handle.tell())
                        if handle.tell() > file.size:
                            raise RunError(f"the hub sends '{name}' of {self.address} longer than it says: run again later")
                except (httpx.TransportError, HfHubHTTPError) as caught:
                    if not is_passing(caught):
                        raise
                    error = caught
                if handle.tell() < file.size:
                    failures = 0 if handle.tell() > start else failures + 1
                    if failures > _TRIES:
                        raise error
                    time.sleep(min(2**failures, _LONGEST_PAUSE))
            handle.flush()
            os.fsync(handle.fileno())

    def _stream(self, commit: str, name: str, handle: BinaryIO) -> Iterator[bytes]:
        """The bytes of a file from where `handle` stands; if the server will not skip, `handle` is emptied first."""
        url = hf_hub_url(self.address.repository, name, revision=commit, endpoint=constants.ENDPOINT)
        headers = build_hf_headers(library_name="lmcraft", library_version=version("lmcraft"))
        headers |= {"Accept-Encoding": "identity"}  # a compressed file cannot be gone on with
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
    """Make `path` lead to `blob`, in one step; where there are no links, the file itself moves, as the library does it."""
    new = path.with_name(f".{uuid4().hex}.link")
    try:
        if constants.HF_HUB_DISABLE_SYMLINKS:
            raise NotImplementedError
        new.symlink_to(os.path.relpath(blob, path.parent))
        new.replace(path)
    except (OSError, NotImplementedError):
        new.unlink(missing_ok=True)
        blob.replace(path)
