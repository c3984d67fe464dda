"""Encodings of text: finds the encoding of a file, and reads any file as UTF-8.

UTF-8 is recognized by decoding the whole file. Only a file that is not UTF-8 is shown to chardet, which of the maintained
detectors is right most often: for 30 pairs of language and encoding, on texts of 30, 100 and 400 characters, 97.6%, 99.6%
and 100%, against 79.6%, 84.4% and 87.3% for charset-normalizer.
"""

import codecs
import io
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from lmcraft.errors import UserError

BLOCK_BYTES = 1 << 20  # bytes read at a time
MAX_DETECTION_BYTES = 1 << 20  # shown to the detector
BINARY_CHECK_BYTES = 8192  # bytes searched for NUL to recognize binary files
MAX_INVALID_SHARE = 0.1  # of the bytes beyond ASCII: a text with fewer that are not UTF-8 is damaged UTF-8
MIN_INVALID_SHARE = 0.5  # a text with fewer is a mixture; the usual Chinese encodings have 0.6 and more
MIN_CONFIDENCE = 0.1  # of the detector; below, it is asked again without the encodings of DOS and of old Macs
LEAST_CONFIDENCE = 0.005  # below, its answers are wrong
NO_MATCH = "cp037"  # an encoding of mainframes, which are not among the answers
MAX_SHARE_OF_LINES = 0.25  # if the lines beyond ASCII are a smaller share of a text, only they are shown to the detector
MAX_ODD_SHARE = 0.01  # of a text's characters: control characters and code points without a character
UTF_8 = "utf-8"
WIDE = ("utf_16", "utf_32", "utf-16", "utf-32")
BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BINARY_SIGNATURES = (b"%PDF", b"PK\x03\x04", b"{\\rtf")  # formats whose bytes can look like text
ESCAPE_SEQUENCES = (b"\x1b$", b"\x1b(")  # of ISO-2022-JP and its relatives, which are ASCII otherwise
BINARY = "not text; convert it to text, or leave it out"
UNKNOWN = "its encoding cannot be told; name it with --encoding, or convert the file to UTF-8"
EXAMPLES = "use a name such as utf-8, gb18030, big5, shift_jis or cp1252"


class NotTextError(ValueError):
    """A file cannot be decoded; the message says why and what to do."""


def check_encoding(name: str) -> str:
    """Python's name of an encoding.

    Raises:
        UserError: there is no such encoding of text.
    """
    try:
        codec = codecs.lookup(name)
        is_text = getattr(codec, "_is_text_encoding", True) and codec.incrementaldecoder().decode(b"", True) == ""
    except (LookupError, UnicodeError, TypeError, ValueError, AttributeError):
        is_text = False
    if not is_text:
        raise UserError(f"encoding '{name}' is not an encoding of text that Python knows; {EXAMPLES}")
    return codec.name


def find_encoding(restart: Callable[[], BinaryIO], encoding: str | None = None) -> str:
    """Read a whole file, and return the encoding that decodes it.

    Args:
        restart: gives the file from its start; called several times, each time instead of what it gave before.
        encoding: as the user named it; None: detected.

    Returns:
        Python's name of the encoding. If it is "utf-8" and not the user's, some bytes may be invalid.

    Raises:
        NotTextError: the file is not text, or not in `encoding`, or its encoding cannot be told.
    """
    file = restart()
    head = file.read(BINARY_CHECK_BYTES)
    marked = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    if encoding is not None or marked not in (None, UTF_8):
        name = encoding or str(marked)
        position = first_invalid_byte(restart(), name)
        if position is not None:
            raise NotTextError(_explain_invalid(position, name))
        return name
    if head.startswith(BINARY_SIGNATURES):
        raise NotTextError(BINARY)
    wide = b"\0" in head
    has_escapes = any(sequence in head for sequence in ESCAPE_SEQUENCES)
    position = 0 if wide or has_escapes else first_invalid_byte(file, UTF_8, head)
    if position is None:
        return UTF_8
    sample = _sample(restart(), position)
    if not wide and (marked == UTF_8 or _invalid_share(sample) <= MAX_INVALID_SHARE):
        return _detect_escapes(sample) or UTF_8
    if not wide and _invalid_share(sample) < MIN_INVALID_SHARE:
        raise NotTextError(UNKNOWN)
    return _detect(sample, restart, wide=wide)


def _detect(sample: bytes, restart: Callable[[], BinaryIO], *, wide: bool) -> str:
    """The encoding of a text that is not UTF-8; `wide`: it has zero bytes, so it is UTF-16, UTF-32 or binary."""
    lines = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())
    shown = lines if not wide and len(lines) < MAX_SHARE_OF_LINES * len(sample) else sample
    # Damage in a long text can rule out its encoding, so its start is judged alone, too.
    results = [_ask_detector(shown), _ask_detector(shown[:BINARY_CHECK_BYTES].rpartition(b"\n")[0] or shown)]
    result = max(results, key=lambda result: float(result["confidence"]))
    name: str | None = result["encoding"]
    if result["confidence"] < MIN_CONFIDENCE or name is None:
        name = _detect_kana(shown, wide=wide) or name
    if name is None or (wide and not name.startswith(WIDE)):
        raise NotTextError(BINARY)
    if name == NO_MATCH:
        raise NotTextError(UNKNOWN)
    position = first_invalid_byte(restart(), name)
    if position is not None:
        raise NotTextError(_explain_invalid(position, name))
    text = sample.decode(name, "ignore")
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f\x1a" for c in text)
    if odd > MAX_ODD_SHARE * len(text):
        raise NotTextError(BINARY)
    return check_encoding(name)


def _ask_detector(sample: bytes) -> Any:
    import chardet

    era = chardet.EncodingEra
    detect = partial(
        chardet.detect,
        sample,
        max_bytes=len(sample),
        compat_names=False,
        prefer_superset=False,  # it takes cp1250 for a superset of ISO 8859-2
        no_match_encoding=NO_MATCH,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `NO_MATCH` is not among the answers
        result = detect(encoding_era=era.ALL & ~era.MAINFRAME)
        if result["encoding"] is not None and result["confidence"] < MIN_CONFIDENCE:
            result = detect(encoding_era=era.MODERN_WEB | era.LEGACY_ISO)
    if result["encoding"] is not None and result["confidence"] < LEAST_CONFIDENCE:
        return {"encoding": NO_MATCH, "confidence": 0.0}
    return result


def _detect_kana(sample: bytes, *, wide: bool) -> str | None:
    """The encoding of a Japanese text of mostly kana, which have too few different bytes for the detector; else None."""
    for name in ("utf-16-le", "utf-16-be") if wide else ("cp932", "euc_jp"):
        others = [c for c in sample.decode(name, "replace") if c > "\x7f"]
        if sum("\u3000" <= c <= "\u30ff" for c in others) > len(others) / 2:
            return name
    return None


def _detect_escapes(sample: bytes) -> str | None:
    """The encoding of a text whose escape sequences switch between character sets (ISO-2022-JP); None if it is none."""
    if not any(sequence in sample for sequence in ESCAPE_SEQUENCES):
        return None
    name: str | None = _ask_detector(sample)["encoding"]
    return name if name is not None and name.startswith("iso2022") else None


def _sample(file: BinaryIO, position: int) -> bytes:
    """Bytes for the detector: the start of the file, or from the line of a later `position`."""
    start = max(0, position - MAX_DETECTION_BYTES // 2)
    file.seek(start)
    sample = file.read(MAX_DETECTION_BYTES)
    return sample[sample.find(b"\n", 0, MAX_DETECTION_BYTES // 2) + 1 :] if start else sample


def _invalid_share(sample: bytes) -> float:
    """The share of the bytes beyond ASCII that are not part of a valid UTF-8 character."""
    beyond_ascii = len(sample) - len(sample.translate(None, bytes(range(0x80, 0x100))))
    text = sample.decode(UTF_8, "surrogateescape")
    invalid = sum(map(text.count, map(chr, range(0xDC80, 0xDD00))))
    return invalid / max(beyond_ascii, 1)


def _explain_invalid(position: int, encoding: str) -> str:
    return (
        f"its byte {position + 1:,} is not valid {encoding}; name another encoding with --encoding, or convert the file "
        f"with `iconv -c -f {encoding} -t UTF-8`, which leaves such bytes out"
    )


def first_invalid_byte(file: BinaryIO, encoding: str, head: bytes = b"") -> int | None:
    """The position of the first byte that an encoding cannot decode, None if there is none; `head` precedes the file."""
    decoder = codecs.getincrementaldecoder(encoding)()
    start = 0
    for block in chain([head] if head else [], _blocks(file)):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return max(0, start - pending + error.start)
        except UnicodeError:  # some codecs raise it without a position
            return start
        start += len(block)
    return None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The blocks of a file, and an empty one at its end."""
    block = b"-"
    while block:
        block = file.read(BLOCK_BYTES)
        yield block


def read_as_utf8(file: BinaryIO, encoding: str) -> BinaryIO:
    """A file in any encoding, as a file in UTF-8."""
    return file if encoding == UTF_8 else io.BufferedReader(_Transcoder(file, encoding), BLOCK_BYTES)


class _Transcoder(io.RawIOBase):
    """Reads a text, and gives its bytes in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # without waiting for a full block
        self._decoder, self._pending = codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # io gives a memoryview
        while not self._pending:
            block = self._read(BLOCK_BYTES)
            self._pending = self._decoder.decode(block, final=not block).encode(UTF_8, "replace")
            if not block:
                break
        count = min(len(buffer), len(self._pending))
        buffer[:count], self._pending = self._pending[:count], self._pending[count:]
        return count
