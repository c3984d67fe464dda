"""The format and the compression of a file, by its name and by how it begins."""

import io
import re
from pathlib import PurePosixPath

from lmcraft.data.encodings import find_encoding
from lmcraft.data.formats import LINES_OF_OBJECTS
from lmcraft.data.html_text import SUFFIXES as HTML_SUFFIXES
from lmcraft.preparation.inputs.source_tree import language_of
from lmcraft.preparation.recipe import SourceConfig

COMPRESSIONS = {
    **{".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar.zst": "tar.zst", ".tar": "tar"},
    **{".zip": "zip", ".gz": "gz", ".zst": "zst"},
}
WITHOUT_ENCODING = ("parquet", "warc")
ARCHIVES = ("zip", "tar", "tar.gz", "tar.zst")
FORMATS = {
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"},
    **{".warc": "warc", ".wet": "warc", ".rst": "rst", ".po": "po", ".pot": "po"},
    **dict.fromkeys(HTML_SUFFIXES, "html"),
}
MANUAL_PAGE = re.compile(r"\.(?:[1-9][a-z]{0,6}|man|mdoc)")  # as ls.1 and Encode.3pm
ROWS_OF_TEXTS = ("jsonl", "parquet")  # collections of files also of code: no file of a program
HEAD_BYTES = 1 << 16  # looked at, to tell a JSON file from JSON lines and a manual page from other texts
DETECTION_BYTES = 1 << 20  # of a file on a server, by which its encoding is found
ENCODING_SETTING = "the source's setting `encoding`"
_MANUAL_MACRO = re.compile(rb"^[.']\s*(?:TH|Dd|so)\b", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"


def compression_of(path: str) -> str:
    """The compression of a file by the end of its name, as `InputFile.compression` has it."""
    name = path.lower()
    return next((kind for suffix, kind in COMPRESSIONS.items() if name.endswith(suffix)), "")


def format_of(path: str) -> str:
    """The format of a file by its name, without a suffix of compression; "text" for every other name."""
    name = PurePosixPath(path).name
    compression = compression_of(name)
    if compression in ("gz", "zst"):
        name = name[: -len(compression) - 1]
    suffix = PurePosixPath(name).suffix.lower()
    if MANUAL_PAGE.fullmatch(suffix):
        return "man"
    return FORMATS.get(suffix) or ("code" if language_of(name) else "text")


def choose_format(path: str, source: SourceConfig) -> str:
    """The format of a file of a source, by the source's settings and the file's name; "auto" for an archive of such."""
    if source.format == "auto" and source.kind == "code":
        return rows if (rows := format_of(path)) in ROWS_OF_TEXTS else "code"
    if source.format == "auto":
        return "auto" if compression_of(path) in ARCHIVES else format_of(path)
    return source.format


def refine_format(name: str, head: bytes) -> str:
    """The format of a file by how it begins: a JSON file may hold lines of objects, and `notes.1` need not be a manual page.

    Args:
        name: the format by the file's name.
        head: its first `HEAD_BYTES`, decompressed.
    """
    if name == "json" and LINES_OF_OBJECTS.match(head):
        return "jsonl"
    if name == "jsonl":
        start = head.removeprefix(_BOM).lstrip()
        return "json" if start.startswith(b"[") or start.partition(b"\n")[0].strip() == b"{" else "jsonl"
    if name == "man" and not _MANUAL_MACRO.search(head):
        return "text"
    return name


def find_encoding_of_head(head: bytes, encoding: str | None) -> str:
    """The encoding of a file by its first `DETECTION_BYTES`; for the rest, see `find_encoding`."""
    if len(head) == DETECTION_BYTES:  # without the part of a line at its end
        head = head[: head.rfind(b"\n") + 1] or head
    return find_encoding(lambda: io.BytesIO(head), encoding, ENCODING_SETTING)
