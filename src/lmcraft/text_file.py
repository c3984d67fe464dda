"""Reads the text files that people write in an editor: settings, keys, prompts."""

import codecs
from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, as Windows writes it; without the mark.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is in another encoding.
    """
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding).replace("\r\n", "\n")
