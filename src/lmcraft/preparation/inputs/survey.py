"""The files of all sources: what each is, how it is decoded, and what is left out for what reason."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lmcraft.data.encodings import UTF_8, check_encoding, find_encoding
from lmcraft.data.pipes import find_contents
from lmcraft.data.source_files import explain_read_errors, list_files
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of, write_json_lines
from lmcraft.json_lines import read_json_lines
from lmcraft.preparation.contracts import InputFile, JsonObject
from lmcraft.preparation.inputs.kinds import HEAD_BYTES, WITHOUT_ENCODING, choose_format, compression_of, refine_format
from lmcraft.preparation.inputs.source_tree import LICENSE_BYTES, is_license_file, nearest_license, recognize_license
from lmcraft.preparation.recipe import SourceConfig

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
        listed = [entry for path in source.paths for entry in list_files(path, source.include, source.exclude)]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            checked = list(pool.map(partial(_describe, source=source, cache=cache), listed))
        first, left_out = len(result.files), []
        for (path, _), described in zip(listed, checked, strict=True):
            if reason := described.get("reason"):
                left_out.append({"file": str(path), "reason": reason})
            else:
                result.files.append(InputFile(source=number, number=len(result.files), path=str(path), **described))
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


def _describe(entry: tuple[Path, str], source: SourceConfig, cache: _Cache) -> JsonObject:
    """The fields of an `InputFile`, or the `reason` why it is left out."""
    path, reason = entry
    if reason:
        return {"reason": reason}
    try:
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, source.format, source.kind, source.encoding)
        return cache.look_up(key, partial(_check, path, source)) if status.st_size else {"reason": "empty"}
    except OSError as error:
        return {"reason": str(error.strerror or error)}
    except UserError as error:
        return {"reason": str(error).removeprefix(f"'{path}' ").removeprefix("cannot be read: ")}


def _check(path: Path, source: SourceConfig) -> JsonObject:
    """Read a file once: its format, its encoding and its hash.

    Raises:
        UserError: it cannot be read; the message begins with its path in quotes.
    """
    with explain_read_errors(path):
        contents = find_contents(path, "source")
        compression = compression_of(contents.name)
        format = choose_format(contents.name, source)
        encoding = UTF_8
        if not compression and format not in WITHOUT_ENCODING:
            with contents.open("rb") as file:
                format = refine_format(format, file.read(HEAD_BYTES))
            with ExitStack() as stack:
                name = None if source.encoding is None else check_encoding(source.encoding)
                encoding = find_encoding(lambda: stack.enter_context(contents.open("rb")), name)
        return {
            "format": format,
            "compression": compression,
            "size": contents.stat().st_size,
            "sha256": sha256_of(contents),
            "encoding": encoding,
        }


def _with_licenses(files: Sequence[InputFile], source: SourceConfig) -> list[InputFile]:
    """The files, those of code with the license of the nearest folder above them that has one."""
    licenses: dict[str, str] = {}
    for file in files:
        if is_license_file(file.path) and not file.compression:
            with Path(file.path).open("rb") as stream:
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
    others = [f"and {len(skipped) - MAX_REASONS:,} more files"] if len(skipped) > MAX_REASONS else []
    return " | ".join(reasons + others)
