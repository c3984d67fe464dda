"""Encodings of text: finds the encoding of a file, and reads any file as UTF-8.

UTF-8 is recognized by decoding the whole file. Only a file that is not UTF-8 is shown to chardet, and each of its answers is
weighed by what the text then looks like, because chardet takes short French for Hebrew. Right for 49 pairs of language and
encoding, on texts of 30, 100 and 400 characters: 97.2%, 99.8% and 100% (by chardet alone 89.2%, 94.4% and 95.2%).
"""

import codecs
import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Container, Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from lmcraft.data.binary_files import CONTROLS, is_binary, looks_random
from lmcraft.errors import UserError

BLOCK_BYTES = 1 << 20  # bytes read at a time
MAX_DETECTION_BYTES = 1 << 20  # shown to the detector
BINARY_CHECK_BYTES = 8192  # bytes searched for NUL to recognize binary files
MAX_INVALID_SHARE = 0.1  # of the bytes beyond ASCII: a text with fewer that are not UTF-8 is damaged UTF-8
MIN_INVALID_SHARE = 0.5  # a text with fewer is a mixture; the usual Chinese encodings have 0.6 and more
MIN_CONFIDENCE = 0.1  # of the detector; below, a Japanese text of mostly kana is looked for
MIN_SHARE_OF_TOP = 0.1  # answers with a smaller share of the highest confidence are not considered
USUAL_WEIGHT = 1.15  # of cp1252, the encoding of most texts whose letters are Latin
RARE_WEIGHT = 0.8  # of `RARE`, and of the encodings of DOS and of old Macs
SINGLE_WEIGHT = 3.0  # of cp1252, if a text has a single character beyond ASCII, such as an apostrophe
MAX_APPEARANCE_BYTES = 1 << 15  # of the lines beyond ASCII whose letters are looked at in each encoding
MIN_EVIDENCE = 6  # different characters beyond ASCII: a text with fewer is hardly evidence for an encoding of `RARE`
UNLIKELY_WEIGHT = 0.2  # of those encodings in such a text
ASCII = frozenset(map(chr, range(128)))
RARE = {"iso8859-3", "iso8859-4", "iso8859-10", "iso8859-14", "iso8859-16", "cp1258"}  # hardly ever used
MISREAD_WEIGHT = 0.01  # of an answer whose text cannot be meant
LEAST_CONFIDENCE = 0.005  # below, its answers are wrong
NO_MATCH = "cp037"  # an encoding of mainframes, which are not among the answers
MAX_SHARE_OF_LINES = 0.25  # if the lines beyond ASCII are a smaller share of a text, only they are shown to the detector
MAX_ODD_SHARE = 0.01  # of a text's characters: control characters and code points without a character
UPPER_CONTROLS = re.compile("[\x80-\x84\x86-\x9f]")  # not U+0085, a line end
_FOREIGN = r"[^\W\d_\u0000-\u024f\u1e00-\u1eff\u2e80-\ud7ff\uf900-\ufaff]"  # a letter, not Latin, Chinese or the like
_ACCENTED = r"[^\W\d_\u0000-\u007f]"
_IN_ASCII_WORD = "(?<=[A-Za-z]){0}|{0}(?=[A-Za-z])"
FOREIGN_LETTER, FOREIGN_LETTER_IN_ASCII_WORD = re.compile(_FOREIGN), re.compile(_IN_ASCII_WORD.format(_FOREIGN))
ACCENTED_LETTER, ACCENTED_LETTER_IN_ASCII_WORD = re.compile(_ACCENTED), re.compile(_IN_ASCII_WORD.format(_ACCENTED))
UTF_8 = "utf-8"
WIDE = ("utf_16", "utf_32", "utf-16", "utf-32")
BYTE_ORDER_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ESCAPE_SEQUENCES = (b"\x1b$", b"\x1b(")  # of ISO-2022-JP and its relatives, which are ASCII otherwise
BINARY = "not text; convert it to text, or leave it out"
ENCODING_FLAG = "--encoding"  # where users name an encoding
UNKNOWN = "its encoding cannot be told; name it with {setting}, or convert the file to UTF-8"
NOT_OF_FILES = ("punycode", "idna", "unicode-escape", "raw-unicode-escape")  # of domain names and of Python's strings
ICONV_NAMES = re.compile(
    r"UTF-\d.*|GB.*|BIG5.*|EUC-(JP|KR)|SHIFT_JIS|CP(?!1006|720)\d+|ISO8859-\d+|ISO-2022-(JP|KR)|KOI8-\w"
)
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
    if not is_text or codec.name in NOT_OF_FILES:
        raise UserError(f"encoding '{name}' is not an encoding of text that Python knows; {EXAMPLES}")
    return codec.name


def find_encoding(restart: Callable[[], BinaryIO], encoding: str | None = None, setting: str = ENCODING_FLAG) -> str:
    """Read a whole file, and return the encoding that decodes it.

    Args:
        restart: gives the file from its start; called several times, each time instead of what it gave before.
        encoding: as the user named it; None: detected.
        setting: where users name it, for errors.

    Returns:
        Python's name of the encoding. If it is "utf-8" and not the user's, some bytes may be invalid.

    Raises:
        NotTextError: the file is not text, or not in `encoding`, or its encoding cannot be told.
    """
    file = restart()
    head = file.read(BINARY_CHECK_BYTES)
    if is_binary(head):
        raise NotTextError(BINARY)
    marked = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    if encoding is not None or marked not in (None, UTF_8):
        name = encoding or str(marked)
        position = first_invalid_byte(restart(), name)
        if position is not None:
            raise NotTextError(_explain_invalid(position, name, setting))
        return name
    wide = b"\0" in head
    has_escapes = any(sequence in head for sequence in ESCAPE_SEQUENCES)
    position = 0 if wide or has_escapes else first_invalid_byte(file, UTF_8, head)
    if position is None:
        return UTF_8
    sample = _sample(restart(), position)
    if not wide and (marked == UTF_8 or _invalid_share(sample) <= MAX_INVALID_SHARE):
        return _detect_escapes(sample) or UTF_8
    if not wide and _invalid_share(sample) < MIN_INVALID_SHARE:
        raise NotTextError(UNKNOWN.format(setting=setting))
    return _detect(sample, restart, setting, wide=wide)


def _detect(sample: bytes, restart: Callable[[], BinaryIO], setting: str, *, wide: bool) -> str:
    """The encoding of a text that is not UTF-8; `wide`: it has zero bytes, so it is UTF-16, UTF-32 or binary."""
    lines = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())
    shown = lines if not wide and len(lines) < MAX_SHARE_OF_LINES * len(sample) else sample
    # Damage in a long text can rule out its encoding, so its start is judged alone, too.
    start = shown[:BINARY_CHECK_BYTES].rpartition(b"\n")[0] if len(shown) > BINARY_CHECK_BYTES else shown
    results = [_ask_detector(part) for part in dict.fromkeys([shown, start or shown])]
    result = max(results, key=lambda result: float(result["confidence"]))
    name: str | None = result["encoding"]
    if result["confidence"] < MIN_CONFIDENCE or name is None:
        name = _detect_kana(shown, wide=wide) or name
    if name in (None, NO_MATCH) and not wide and _is_latin(shown):
        name = "cp1252"
    if wide and not (name or "").startswith(WIDE):
        raise NotTextError(BINARY)
    if name is None or name == NO_MATCH:
        raise NotTextError(BINARY if CONTROLS.search(sample) else UNKNOWN.format(setting=setting))
    position = first_invalid_byte(restart(), name)
    if position is not None:
        raise NotTextError(_explain_invalid(position, name, setting))
    text = sample.decode(name, "ignore")
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f\x1a" for c in text)
    if odd > MAX_ODD_SHARE * len(text) or (wide and looks_random(text)):
        raise NotTextError(BINARY)
    return check_encoding(name)


def _ask_detector(sample: bytes) -> Any:
    """The detector's best answer for a sample, after each answer is weighed by what its text looks like."""
    import chardet

    era = chardet.EncodingEra
    detect = partial(
        chardet.detect_all,
        sample,
        ignore_threshold=True,
        max_bytes=len(sample),
        compat_names=False,
        prefer_superset=False,  # it takes cp1250 for a superset of ISO 8859-2
        no_match_encoding=NO_MATCH,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that `NO_MATCH` is not among the answers
        common = {result["encoding"] for result in detect(encoding_era=era.MODERN_WEB | era.LEGACY_ISO)} - RARE
        results = detect(encoding_era=era.ALL & ~era.MAINFRAME)
    top = max(result["confidence"] for result in results)
    likely = [result for result in results if result["confidence"] >= MIN_SHARE_OF_TOP * top]
    lines = b"\n".join(line for line in sample.split(b"\n") if not line.isascii())[:MAX_APPEARANCE_BYTES]
    weights = [_weigh(result["encoding"], sample, lines, common) for result in likely]
    confidence, _, best = max(
        (weight * result["confidence"], -rank, result)
        for rank, (weight, result) in enumerate(zip(weights, likely, strict=True))
    )
    if best["encoding"] is not None and confidence < LEAST_CONFIDENCE:
        return {"encoding": NO_MATCH, "confidence": 0.0}
    return best


def _weigh(name: str | None, sample: bytes, lines: bytes, common: Container[str | None]) -> float:
    """What an answer's confidence is multiplied by; `lines` are the first of the sample that are not ASCII.

    Letters of another script within words of ASCII letters are a misreading of accented ones: "dйjа" is "déjà". Control
    characters from U+0080 to U+009F are in no text: they are the quotation marks of a Windows encoding.
    """
    if name is None or name == NO_MATCH or name.startswith(WIDE):
        return 1.0
    if name.startswith("iso8859") and UPPER_CONTROLS.search(bytes(set(sample)).decode(name, "ignore")):
        return MISREAD_WEIGHT
    text = lines.decode(name, "ignore")
    letters = len(FOREIGN_LETTER.findall(text))
    mixed = len(FOREIGN_LETTER_IN_ASCII_WORD.findall(text)) / max(letters, 1)
    evidence = len(set(text) - ASCII)
    if name == "cp1252":
        prior = USUAL_WEIGHT if evidence > 1 else SINGLE_WEIGHT
    elif name in common:
        prior = 1.0
    else:
        prior = RARE_WEIGHT if evidence >= MIN_EVIDENCE else UNLIKELY_WEIGHT
    return prior * max((1 - mixed) ** 2, MISREAD_WEIGHT)


def _detect_kana(sample: bytes, *, wide: bool) -> str | None:
    """The encoding of a Japanese text of mostly kana, which have too few different bytes for the detector; else None."""
    for name in ("utf-16-le", "utf-16-be") if wide else ("cp932", "euc_jp"):
        others = [c for c in sample.decode(name, "replace") if c > "\x7f"]
        if sum("\u3000" <= c <= "\u30ff" for c in others) > len(others) / 2:
            return name
    return None


def _is_latin(sample: bytes) -> bool:
    """Whether a text that the detector does not recognize, such as one in capitals, has accents within ASCII words."""
    text = sample.decode("cp1252", "replace")
    accented = len(ACCENTED_LETTER.findall(text))
    return 0 < accented == sum(c > "\x7f" for c in text) and 2 * len(ACCENTED_LETTER_IN_ASCII_WORD.findall(text)) > accented


def _detect_escapes(sample: bytes) -> str | None:
    """The encoding of a text whose escape sequences switch between character sets (ISO-2022-JP); None if it is none."""
    if not any(sequence in sample for sequence in ESCAPE_SEQUENCES):
        return None
    name: str | None = _ask_detector(sample)["encoding"]
    return name if name is not None and name.startswith("iso2022") else None


def _sample(file: BinaryIO, position: int) -> bytes:
    """Bytes for the detector: the start of the file, or from the line of a later `position`."""
    start = max(0, position - MAX_DETECTION_BYTES // 2)
    for skipped in range(0, start, BLOCK_BYTES):  # not every file can seek
        file.read(min(BLOCK_BYTES, start - skipped))
    sample = file.read(MAX_DETECTION_BYTES)
    return sample[sample.find(b"\n", 0, MAX_DETECTION_BYTES // 2) + 1 :] if start else sample


def _invalid_share(sample: bytes) -> float:
    """The share of the bytes beyond ASCII that are not part of a valid UTF-8 character."""
    beyond_ascii = len(sample) - len(sample.translate(None, bytes(range(0x80, 0x100))))
    text = sample.decode(UTF_8, "surrogateescape")
    invalid = sum(map(text.count, map(chr, range(0xDC80, 0xDD00))))
    return invalid / max(beyond_ascii, 1)


def _explain_invalid(position: int, encoding: str, setting: str) -> str:
    name = iconv_name(encoding)
    how = f"with `iconv -c -f {name} -t UTF-8`, which leaves such bytes out" if name else "to UTF-8"
    remedy = f"name another encoding with {setting}, or convert the file {how}"
    return f"its byte {position + 1:,} is not valid {encoding}; {remedy}"


def iconv_name(encoding: str) -> str | None:
    """The name that the program iconv has for an encoding of Python; None if it is not one that every iconv knows."""
    name = encoding.upper().replace("UTF-8-SIG", UTF_8.upper()).replace("ISO2022_", "ISO-2022-").replace("EUC_", "EUC-")
    name = re.sub(r"(UTF-\d\d)-([LB]E)", r"\1\2", name)
    return name.lower() if ICONV_NAMES.fullmatch(name) else None


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
