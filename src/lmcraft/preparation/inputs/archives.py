"""Compressed files, archives and files in other encodings, read from start to end."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from lmcraft.data.compression import open_decompressed
from lmcraft.data.encodings import check_encoding, find_encoding, read_as_utf8
from lmcraft.preparation.contracts import InputFile, Tally
from lmcraft.preparation.inputs.contents import Passage, Reading, read_contents
from lmcraft.preparation.inputs.kinds import (
    ARCHIVES,
    DETECTION_BYTES,
    ENCODING_SETTING,
    HEAD_BYTES,
    WITHOUT_ENCODING,
    choose_format,
    compression_of,
    find_encoding_of_head,
    refine_format,
)
from lmcraft.preparation.inputs.poison import (
    MAX_EXPANSION,
    MIN_BOMB_BYTES,
    PoisonError,
    TallyStats,
    skip_poisoned,
)
from lmcraft.preparation.inputs.ranges import WHOLE
from lmcraft.preparation.inputs.remote import is_remote
from lmcraft.preparation.inputs.source_tree import LICENSE_BYTES, is_license_file, nearest_license, recognize_license
from lmcraft.preparation.inputs.stored import open_stored
from lmcraft.preparation.recipe import SourceConfig

MEMORY_BYTES = 32 << 20  # of a member of an archive that is kept in memory; a larger one is copied to a temporary file
BUFFER_BYTES = 1 << 20
UNKNOWN_BYTES = 1 << 30  # taken for the size of a file whose server does not say
TICK_BYTES = 16 << 20  # decompressed between two signs of life


class _Meter:
    """Counts what a file expands to, and stops what expands too much."""

    def __init__(self, file: InputFile, tick: Callable[[int], None]) -> None:
        self._limit = max(MIN_BOMB_BYTES, MAX_EXPANSION * (file.size if file.size > 0 else UNKNOWN_BYTES))
        self._size, self._tick, self._total, self._next = file.size, tick, 0, TICK_BYTES

    def restart(self) -> None:
        """The file is read from its start again."""
        self._total, self._next = 0, TICK_BYTES

    def add(self, count: int) -> None:
        """Count bytes.

        Raises:
            PoisonError: there are too many.
        """
        self._total += count
        if self._total >= self._next:
            self._next = self._total + TICK_BYTES
            self._tick(self._total)
        self.check()

    def check(self) -> None:
        """Raise PoisonError if the file has expanded too much."""
        if self._total > self._limit:
            raise PoisonError(
                f"a decompression bomb: its {self._size:,} bytes expand to more than {self._limit:,}; "
                "unpack it, or leave it out"
            )


class _Metered(io.RawIOBase):
    """A stream whose bytes are counted."""

    def __init__(self, stream: BinaryIO, meter: _Meter) -> None:
        self._stream, self._meter = stream, meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # io gives a memoryview
        block = self._stream.read(len(buffer))
        self._meter.add(len(block))
        buffer[: len(block)] = block
        return len(block)


def read_unpacked(file: InputFile, source: SourceConfig, tally: Tally, tick: Callable[[int], None]) -> Iterator[Passage]:
    """Yield the passages of a file that cannot be read in parts, in order; their positions are their ranks.

    Args:
        file: compressed, an archive, or in another encoding than UTF-8.
        source: that it belongs to.
        tally: counts malformed rows and members that cannot be read.
        tick: is called from time to time, with the number of bytes that were decompressed.

    Raises:
        PoisonError: the file expands too much.
        Exception: it is damaged, as `explain_damage` has it; what was yielded before may be wrong.
    """
    meter = _Meter(file, tick)
    with open_stored(file) as stored:
        if file.compression in ARCHIVES:
            passages = _read_archive(file, stored, source, tally, meter)
        else:
            passages = _read_single(file, stored, source, tally, meter)
        for rank, passage in enumerate(passages):
            yield replace(passage, position=rank)


def _read_single(file: InputFile, stored: BinaryIO, source: SourceConfig, tally: Tally, meter: _Meter) -> Iterator[Passage]:
    def restart() -> BinaryIO:
        stored.seek(0)
        meter.restart()
        return _decompress(file.path, file.compression, stored, meter)

    yield from _read_stream(file.path, file.format, restart, source, tally)


def _decompress(name: str, compression: str, stored: BinaryIO, meter: _Meter) -> BinaryIO:
    stream = open_decompressed(Path(name), stored, f".{compression}") if compression else stored
    return io.BufferedReader(_Metered(stream, meter), BUFFER_BYTES)


def _read_stream(
    name: str, format: str, restart: Callable[[], BinaryIO], source: SourceConfig, tally: Tally
) -> Iterator[Passage]:
    """The passages of a file that can be read several times from its start."""
    encoding = "utf-8"
    if format not in WITHOUT_ENCODING:
        format = refine_format(format, restart().read(HEAD_BYTES))
        named = None if source.encoding is None else check_encoding(source.encoding)
        if is_remote(name):  # read once
            encoding = find_encoding_of_head(restart().read(DETECTION_BYTES), named)
        else:
            encoding = find_encoding(restart, named, ENCODING_SETTING)
    stream = restart()
    with ExitStack() as stack:
        if format in WITHOUT_ENCODING:  # their readers seek
            stream = stack.enter_context(_spool(stream))
        reading = Reading(name, format, source.text_field, TallyStats(tally), WHOLE)
        yield from read_contents(read_as_utf8(stream, encoding), reading)


def _spool(stream: BinaryIO) -> BinaryIO:
    """A copy of a stream in which one can seek."""
    copy = cast(BinaryIO, SpooledTemporaryFile(max_size=MEMORY_BYTES))  # noqa: SIM115 - the caller closes it
    copyfileobj(stream, copy, BUFFER_BYTES)
    copy.seek(0)
    return copy


def _read_archive(file: InputFile, stored: BinaryIO, source: SourceConfig, tally: Tally, meter: _Meter) -> Iterator[Passage]:
    if file.compression == "zip" and not file.ranges:  # its directory is at its end
        stored = _spool(stored)
    licenses: dict[str, str] = {}
    for member, stream in _open_members(file, stored, meter):
        if is_license_file(member) and (license := recognize_license(stream.read(LICENSE_BYTES).decode("utf-8", "replace"))):
            licenses.setdefault(str(PurePosixPath(member).parent), license)
    stored.seek(0)
    meter.restart()
    for member, stream in _open_members(file, stored, meter):
        name = f"{file.path}/{member}"
        with skip_poisoned(tally, name):
            for passage in _read_member(name, stream, file, source, tally, meter):
                license = nearest_license(member, licenses) if passage.format == "code" else ""
                yield replace(passage, name=name, license=license)
        meter.check()


def _read_member(
    name: str, stream: BinaryIO, file: InputFile, source: SourceConfig, tally: Tally, meter: _Meter
) -> Iterator[Passage]:
    compression = compression_of(name)
    if compression in ARCHIVES:
        raise PoisonError("an archive within an archive; unpack the outer one")
    format = choose_format(name, source) if file.format == "auto" else file.format
    with ExitStack() as stack:
        copy = stack.enter_context(_spool(stream))
        if compression and format != "warc":
            copy = stack.enter_context(_spool(_decompress(name, compression, copy, meter)))

        def restart() -> BinaryIO:
            copy.seek(0)
            return copy

        yield from _read_stream(name, format, restart, source, tally)


def _open_members(file: InputFile, stored: BinaryIO, meter: _Meter) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the name and the contents of each file in an archive, in the archive's order; hidden ones are left out."""
    if file.compression == "zip":
        with zipfile.ZipFile(stored) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and _is_visible(entry.filename):
                    if entry.flag_bits & 1:
                        raise PoisonError("encrypted; decrypt it, or leave it out")
                    with archive.open(entry) as stream:
                        yield entry.filename, io.BufferedReader(_Metered(cast(BinaryIO, stream), meter), BUFFER_BYTES)
        return
    stream = _decompress(file.path, file.compression.removeprefix("tar").removeprefix("."), stored, meter)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=BUFFER_BYTES) as tar:
        for member in tar:
            if member.isfile() and _is_visible(member.name) and (content := tar.extractfile(member)):
                yield member.name, cast(BinaryIO, content)


def _is_visible(member: str) -> bool:
    parts = [part for part in PurePosixPath(member).parts if part not in (".", "..")]
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)
