"""The texts of a folder: Markdown, HTML, reStructuredText and plain text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import chardet

from lmcraft.data.html_text import SUFFIXES as HTML_SUFFIXES
from lmcraft.data.html_text import markdown_of_html
from lmcraft.errors import UserError

SUFFIXES = (".md", ".markdown", ".txt", ".rst", *HTML_SUFFIXES)
MAX_FILE_BYTES = 64 * 2**20
# What no document means to say, and no answer can spell: control characters, and halves of characters.
_DROPPED = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, 65279, *range(55296, 57344)))


@dataclass(frozen=True)
class Document:
    """A document as Markdown: HTML becomes that, with its headings and code."""

    name: str
    """Its path in the folder, with slashes."""
    text: str


def read_documents(folder: Path) -> list[Document]:
    """The documents of a folder and the folders below it, by name; hidden files and other formats are left out.

    Raises:
        UserError: there is no such folder, it has no document, or a file cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"documents={folder} is not a folder; name one that holds Markdown, HTML or text files")
    documents = [Document(file.relative_to(folder).as_posix(), read_document(file)) for file in _files(folder)]
    documents = [document for document in documents if document.text.strip()]
    if not documents:
        raise UserError(f"documents={folder} has no text; put files there that end in {', '.join(SUFFIXES)}")
    return documents


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in SUFFIXES and not hidden and file.is_file():
            yield file


def read_document(file: Path) -> str:
    """The text of a file, in whatever encoding, without control characters.

    Raises:
        UserError: the file cannot be read, or is too large.
    """
    try:
        if (size := file.stat().st_size) > MAX_FILE_BYTES:
            raise UserError(
                f"'{file}' has {size / 2**20:.0f} MiB; split it into files of at most {MAX_FILE_BYTES >> 20} MiB"
            )
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"'{file}' cannot be read ({error.strerror}); remove it, or change its permissions") from error
    text = _decode(content).replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)
    return markdown_of_html(text) if file.suffix.lower() in HTML_SUFFIXES else text


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode(chardet.detect(content[: 2**16])["encoding"] or "latin-1", "replace")
