"""The files of all sources: what each is, how it is decoded, and what is left out for what reason."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from lmcraft.data.documents import count_noun
from lmcraft.data.encodings import UTF_8, NotTextError, check_encoding, find_encoding
from lmcraft.data.pipes import find_contents
from lmcraft.data.source_files import NOT_A_FILE, REPEATED, explain_read_errors, list_files
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of, write_json_lines
from lmcraft.json_lines import read_json_lines
from lmcraft.preparation.contracts import InputFile, JsonObject
from lmcraft.preparation.inputs.kinds import (
    DETECTION_BYTES,
    ENCODING_SETTING,
    HEAD_BYTES,
    WITHOUT_ENCODING,
    choose_format,
    compression_of,
    find_encoding_of_head,
    refine_format,
)
from lmcraft.preparation.inputs.remote import RemoteFile, is_remote, list_remote, open_remote
from lmcraft.preparation.inputs.source_tree import LICENSE_BYTES, is_license_file, nearest_license, recognize_license
from lmcraft.preparation.inputs.stored import open_stored
from lmcraft.preparation.recipe import SourceConfig
from lmcraft.setting_values import expand_user
from lmcraft.terminal import progress_bar

Entry = tuple[Path | RemoteFile, str]
VERSION = 1  # of what is kept of a file
CACHE = "survey.jsonl"  # in the work folder: what was seen of each file
MAX_REASONS = 3  # why files were left out, in the error about a source without any


@dataclass
class Survey:
    """The files to read, in the order of the corpus, and those left out."""

    files: list[InputFile] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    """`file` and `reason`."""


def survey(sources: Sequence[SourceConfig], work: Path) -> Survey:
    """Find and check the files of all sources. A file that has not changed since the last survey is not read again.

    Args:
        sources: of the recipe.
        work: folder of unfinished work, where the survey is kept.

    Raises:
        UserError: a path does not exist, or a source has no file that can be read; the message says why.
    """
    cache = _Cache(work / CACHE)
    result = Survey()
    for number, source in enumerate(sources):
        listed = _list_source(source)
        checked = []
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool, progress_bar(f"survey of {source.name}") as report:
            for described in pool.map(partial(_describe, source=source, cache=cache), listed):
                checked.append(described)
                report(len(checked), len(listed))
        first, left_out = len(result.files), []
        for (path, _), described in zip(listed, checked, strict=True):
            if reason := described.get("reason"):
                left_out.append({"file": _escape(_name(path)), "reason": reason})
            else:
                result.files.append(InputFile(source=number, number=len(result.files), **described))
        if len(result.files) == first:
            raise UserError(f"source '{source.name}' has no file that can be read: {_summarize(left_out)}")
        result.skipped += left_out
        result.files[first:] = _with_licenses(result.files[first:], source)
    cache.save()
    return result


class _Cache:
    """What was seen of each file, by its path, size, time of change and settings, kept between runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = {tuple(row["key"]): row["seen"] for row in read_json_lines(path, key=list, seen=dict)}
        self._seen: dict[tuple[Any, ...], JsonObject] = {}

    def look_up(self, key: tuple[Any, ...], check: Callable[[], JsonObject]) -> JsonObject:
        """What is known of a file, else what the check returns."""
        self._seen[key] = seen = self._known.get(key) or check()
        return seen

    def save(self) -> None:
        """Keep what was looked up."""
        rows = [{"key": list(key), "seen": seen} for key, seen in self._seen.items()]
        if self._known != self._seen:
            write_json_lines(self._path, sorted(rows, key=lambda row: row["key"][0]))


def _list_source(source: SourceConfig) -> list[Entry]:
    """The files of a source, each with the reason why it is left out, or an empty text; its paths may overlap."""
    listed: dict[str, Entry] = {}
    seen = set()
    for file, reason in (entry for path in source.paths for entry in _list(path, source)):
        name = _name(file)
        if name in listed and (reason or not listed[name][1]):  # another path of the source has it, as well or better
            continue
        if not reason:
            identity = _identify(file)
            reason = REPEATED if identity in seen else _explain_name(name)
            seen.add(identity)
        listed[name] = (file, reason)
    return list(listed.values())


def _identify(file: Path | RemoteFile) -> str | tuple[int, int]:
    """What is the same for all names of a file."""
    if isinstance(file, RemoteFile):
        return file.url
    try:
        status = file.stat()
    except OSError:
        return str(file)
    return status.st_dev, status.st_ino


def _explain_name(name: str) -> str:
    """Why a file of this name is left out: the names that a dataset records are text; else ""."""
    return "" if _escape(name) == name else "its name is not UTF-8: rename it"


def _escape(name: str) -> str:
    """A name with escapes, such as \\xff, in place of the bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _list(path: str, source: SourceConfig) -> Sequence[Entry]:
    """The files of a path of a source, each with the reason why it is left out, or an empty text."""
    if not is_remote(path) and expand_user(path).is_fifo():  # whose text would be gone when the work goes on later
        return [(expand_user(path), NOT_A_FILE)]
    return (list_remote if is_remote(path) else list_files)(path, source.include, source.exclude)


def _name(file: Path | RemoteFile) -> str:
    return file.url if isinstance(file, RemoteFile) else str(file)


def _describe(entry: Entry, source: SourceConfig, cache: _Cache) -> JsonObject:
    """The fields of an `InputFile`, or the `reason` why it is left out."""
    file, reason = entry
    if reason:
        return {"reason": reason}
    try:
        if isinstance(file, RemoteFile):
            size, version, check = file.size, file.version, partial(_check_remote, file, source)
        else:
            status = file.stat()
            size, version, check = status.st_size, str(status.st_mtime_ns), partial(_check, file, source)
            if not size and file.is_file():
                return {"reason": "empty"}
        key = (_name(file), VERSION, size, version, source.format, source.kind, source.encoding)
        return cache.look_up(key, check)
    except OSError as error:
        return {"reason": str(error.strerror or error)}
    except (UserError, NotTextError) as error:
        return {"reason": str(error).removeprefix(f"'{_name(file)}' ").removeprefix("cannot be read: ")}


def _check(path: Path, source: SourceConfig) -> JsonObject:
    """Read a file once: its format, its encoding and its hash.

    Raises:
        UserError: it cannot be read; the message begins with its path in quotes.
    """
    with explain_read_errors(path):
        contents = find_contents(path, "source")
        compression, format, encoding = compression_of(contents.name), choose_format(contents.name, source), UTF_8
        if not compression and format not in WITHOUT_ENCODING:
            with contents.open("rb") as file:
                format = refine_format(format, file.read(HEAD_BYTES))
            with ExitStack() as stack:
                encoding = find_encoding(
                    lambda: stack.enter_context(contents.open("rb")), _encoding_of(source), ENCODING_SETTING
                )
        return {
            "path": str(contents),
            "format": format,
            "compression": compression,
            "size": contents.stat().st_size,
            "sha256": sha256_of(contents),
            "encoding": encoding,
        }


def _check_remote(file: RemoteFile, source: SourceConfig) -> JsonObject:
    """Read the beginning of a file on a server: its format and its encoding.

    Raises:
        NotTextError: it is not text.
        UserError: it may not be read.
        RunError: the server cannot be reached.
    """
    name = urlsplit(file.url).path if file.url.startswith("http") else file.url
    compression, format, encoding = compression_of(name), choose_format(name, source), UTF_8
    if not compression and format not in WITHOUT_ENCODING:
        with open_remote(file.url, file.version, ranges=file.ranges) as stream:
            head = stream.read(DETECTION_BYTES)
        format = refine_format(format, head[:HEAD_BYTES])
        encoding = find_encoding_of_head(head, _encoding_of(source))
    return {
        "path": file.url,
        "format": format,
        "compression": compression,
        "size": file.size,
        "sha256": file.version,
        "encoding": encoding,
        "ranges": file.ranges,
    }


def _encoding_of(source: SourceConfig) -> str | None:
    return None if source.encoding is None else check_encoding(source.encoding)


def _with_licenses(files: Sequence[InputFile], source: SourceConfig) -> list[InputFile]:
    """The files, those of code with the license of the nearest folder above them that has one."""
    licenses: dict[str, str] = {}
    for file in files:
        if is_license_file(file.path) and not file.compression:
            with open_stored(file) as stream:
                text = stream.read(LICENSE_BYTES).decode(file.encoding, "replace")
            if license := recognize_license(text):
                licenses.setdefault(str(PurePosixPath(file.path).parent), license)
    return [
        replace(file, license=nearest_license(file.path, licenses) or source.license) if file.format == "code" else file
        for file in files
    ]


def _summarize(skipped: Sequence[Mapping[str, str]]) -> str:
    if not skipped:
        return "check its paths, and its include and exclude patterns"
    reasons = [f"{entry['file']}: {entry['reason']}" for entry in skipped[:MAX_REASONS]]
    more = len(skipped) - MAX_REASONS
    others = [f"and {count_noun(more, 'more file', 'more files')}"] if more > 0 else []
    return " | ".join(reasons + others)
