"""Web archives (WARC): the pages in them, and the places where they can be cut."""

import io
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, BinaryIO

from lmcraft.data.documents import ReadStats
from lmcraft.data.encodings import UTF_8, NotTextError, find_encoding
from lmcraft.extras import import_optional
from lmcraft.preparation.inputs.poison import MAX_PAGE_BYTES, PoisonError
from lmcraft.preparation.inputs.ranges import Range

PAGES = ("text/html", "application/xhtml+xml")
TEXTS = ("text/plain",)
MAX_HEADERS_BYTES = 1 << 16
GZIP = b"\x1f\x8b\x08"


def read_pages(file: BinaryIO, part: Range, name: str, stats: ReadStats) -> Iterator[tuple[int, str, str, str]]:
    """Yield the position, the format ("html" or "text"), the contents and the address of each page that begins in a range.

    Args:
        file: the archive, also compressed with gzip; it need not seek if the range begins at its start.
        part: the range of its bytes, which begins where a record does.
        name: of the file.
        stats: counts pages that are too long, or not text.

    Raises:
        PoisonError: the file ends within a record. What came before has been yielded.
        UserError: fastwarc is not installed.
    """
    last = -1
    for record in _iterate(file, part, name):
        if record.stream_pos >= part.end:
            return
        position = last = max(record.stream_pos, last + 1)  # all records of one gzip stream are at the same position
        url = record.headers.get("WARC-Target-URI") or ""
        if record.content_length > MAX_PAGE_BYTES + MAX_HEADERS_BYTES:
            if _is_text(record.headers.get("Content-Type", "")):
                stats.malformed(name, 0, f"a page longer than {MAX_PAGE_BYTES >> 20} MB: {url}")
            continue
        length = record.content_length
        record.freeze()
        contents = record.reader.read()
        if len(contents) < length:
            raise PoisonError(f"ends within a record ({len(contents):,} of {length:,} bytes); download it again")
        record.reader.seek(0)
        yield from ((position, *page, url) for page in _pages_of(record, name, url, stats))


def _is_text(content_type: str) -> bool:
    return content_type.startswith(("application/http", *PAGES, *TEXTS))


def _pages_of(record: Any, name: str, url: str, stats: ReadStats) -> Iterator[tuple[str, str]]:
    """The format and the contents of a record, if it holds a page or a text."""
    try:
        record.parse_http(auto_decode="all")
        body = record.reader.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        stats.malformed(name, 0, f"not a valid response of a server: {url} ({error})")
        return
    is_response = record.is_http and record.http_headers is not None
    kind = (record.http_content_type if is_response else record.headers.get("Content-Type")) or ""
    kind = kind.partition(";")[0].strip().lower()
    if kind not in (*PAGES, *TEXTS) or not body.strip():
        return
    if len(body) > MAX_PAGE_BYTES:
        stats.malformed(name, 0, f"a page longer than {MAX_PAGE_BYTES >> 20} MB: {url}")
        return
    try:
        yield "html" if kind in PAGES else "text", decode_page(body, record.http_charset if is_response else UTF_8)
    except NotTextError as error:
        reason = str(error).partition(";")[0]  # its remedy is for files
        stats.malformed(name, 0, f"a page that cannot be decoded: {url} ({reason})")


def decode_page(body: bytes, charset: str | None) -> str:
    """The text of a page: in UTF-8, else in the encoding that its server or its head names, else in the one detected.

    Raises:
        NotTextError: it is not text, or its encoding cannot be told.
    """
    for name in (UTF_8, charset):
        if name:
            try:
                return body.decode("utf-8-sig" if name == UTF_8 else name)
            except (UnicodeError, LookupError):
                continue
    return body.decode(find_encoding(lambda: io.BytesIO(body)), "replace")


def find_starts(file: BinaryIO, size: int, name: str, tick: Callable[[int], None]) -> list[int]:
    """The positions of records at which a reader can begin; only 0 for a file that is one gzip stream.

    Args:
        file: at its start.
        size: of the file.
        name: of the file.
        tick: is called with positions as the file is read.
    """
    is_compressed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    starts = []
    for record in _iterate(file, Range(), name):
        tick(record.stream_pos)
        starts.append(record.stream_pos)
    for start in starts if is_compressed else []:
        file.seek(start)
        if file.read(len(GZIP)) != GZIP:
            return [0]
    is_cut = all(first < second < size for first, second in pairwise(starts))
    return [0, *starts[1:]] if is_cut else [0]


def _iterate(file: BinaryIO, part: Range, name: str) -> Iterator[Any]:
    """The records of an archive that may hold pages: answers of servers, and texts that were converted."""
    warc = import_optional("fastwarc.warc", "web", f"'{name}'")
    kinds = warc.WarcRecordType.response | warc.WarcRecordType.conversion | warc.WarcRecordType.resource
    if part.start:
        file.seek(part.start)
    yield from warc.ArchiveIterator(file, record_types=kinds, parse_http=False)
