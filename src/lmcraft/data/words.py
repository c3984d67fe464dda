"""The words of a text as numbers, which everything that compares texts shares: overlap with tasks, duplicates, statistics.

Words are compared without case and punctuation; each Chinese, Japanese or Korean character is a word. `hash_words` computes
with arrays what `split_words` spells: equal words have equal hashes, in every process and on every machine. `tokenize`
also gives the punctuation between the words, and where each token stands in the text.

Shapes: C characters, T tokens, W words.
"""

import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.native.library import NativeWords, Opener

SINGLE = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"  # characters that are words
WORD = re.compile(f"{SINGLE}|(?:(?!{SINGLE})[^\\W_])+")
SPACES = re.compile(r"[\s\x00-\x1f\x7f]+")
BASE = 0x9E3779B97F4A7C15  # of the polynomials; odd, so it has an inverse modulo 2**64
BLOCK_CHARS = 2**16  # whose arrays fit into the processor's cache
MAX_LETTER = 0x3FFFF  # beyond are unassigned and private characters, and signs that nobody sees
JOINERS = frozenset("'’._@")
SPACE, MARK, WHOLE, DIGIT, LETTER = range(5)  # kinds of characters; WHOLE ones are words, the last two parts of words

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a text: words, and runs of one punctuation character. All arrays are (T,)."""

    hashes: Hashes
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    """MARK, WHOLE, DIGIT (a word without letters) or LETTER."""

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def are_words(self) -> NDArray[np.bool_]:
        """Which tokens are words."""
        are_words: NDArray[np.bool_] = self.kinds != MARK
        return are_words

    @property
    def words(self) -> Hashes:
        """The hashes of the words, (W,)."""
        return self.hashes[self.are_words]


class HasWords(Protocol):
    """A document that remembers the hashes of its words."""

    text: str
    words: Hashes | None


def fold(text: str) -> str:
    """The text without case and forms of characters (full width, ligatures): NFKC, then case folding."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def plain_bytes(text: str) -> bytes:
    """The folded text in UTF-8, with a space for each run of white space and control characters inside it.

    A punctuation mark that folds to several ("…") stays.
    """
    if text.isascii():
        return b" ".join(text.encode().translate(_ascii_lower()).split())
    codes_C = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.intp)
    values_C = _folded_values().take(codes_C)
    if values_C.max() > sys.maxunicode + 1 or not unicodedata.is_normalized("NFC", text):
        return SPACES.sub(" ", fold(text)).strip(" ").encode("utf-8", "surrogatepass")
    are_spaces_C = values_C == 0
    values_C = np.where(are_spaces_C, ord(" "), values_C - 1)
    values_C = values_C[~(are_spaces_C & np.append(are_spaces_C[1:], True))]  # the last space of each run, none at the end
    folded: str = values_C.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return folded.lstrip(" ").encode("utf-8", "surrogatepass")


def split_words(text: str) -> list[str]:
    """The words of a text, folded."""
    return WORD.findall(fold(text))


def words_of(record: HasWords) -> Hashes:
    """The hashes of a document's words, (W,), computed once; whoever changes the text sets `words` to None."""
    if record.words is None:
        record.words = hash_words(record.text)
    return record.words


def hash_words(text: str) -> Hashes:
    """A hash of each word, (W,): a polynomial of its characters modulo 2**64, with its bits mixed."""
    return tokenize(text).words


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each word of `hash_words` stands in the text, as (start, end); words of one ligature have the same place."""
    tokens = tokenize(text)
    are_words = tokens.are_words
    return list(zip(tokens.starts[are_words].tolist(), tokens.stops[are_words].tolist(), strict=True))


def count_single_words(text: str) -> int:
    """The number of characters of a text that are words of their own: Chinese, Japanese, Korean."""
    if text.isascii():
        return 0
    codes_C = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return int(np.count_nonzero(_character_kinds().take(codes_C) == WHOLE))


def tokenize(text: str) -> Tokens:
    """The tokens of a text; the hashes of words are those of `hash_words`."""
    native = _native(len(text))
    if text.isascii():
        data = text.encode()
        if native and (scanned := native.scan(data, 1)):
            return Tokens(*scanned)
        kinds_C = np.frombuffer(data.translate(_ascii_table(kinds=True)), dtype=np.uint8)
        ascii_C = np.frombuffer(data.translate(_ascii_table(kinds=False)), dtype=np.uint8)
        return _tokens(kinds_C, ascii_C)
    if not unicodedata.is_normalized("NFC", text):
        return _tokenize_folded(text)
    data = text.encode("utf-32-le", "surrogatepass")
    if native:
        scanned = native.scan(data, 4)
        return Tokens(*scanned) if scanned else _tokenize_folded(text)
    codes_C = np.frombuffer(data, dtype=np.uint32).astype(np.intp)
    values_C = _folded_values().take(codes_C)
    if values_C.max() > sys.maxunicode + 1:
        return _tokenize_folded(text)
    return _tokens(_character_kinds().take(codes_C), values_C)


def tokenize_joined(text: str, separate: Tokens) -> Tokens:
    """The tokens of a text, with words joined across marks that leave no space: apostrophes, the dots of names and numbers.

    Args:
        text: the text.
        separate: its tokens, as `tokenize` has them.
    """
    native = _native(0)
    if native and text.isascii():
        scanned = native.scan_joined(text.encode(), 1)
        return Tokens(*scanned) if scanned else separate
    return _join_words(text, separate)


def _join_words(text: str, tokens: Tokens) -> Tokens:
    kinds, starts, stops = tokens.kinds, tokens.starts, tokens.stops
    inner = np.flatnonzero(kinds[1:-1] == MARK) + 1
    inner = inner[(starts[inner] == stops[inner - 1]) & (stops[inner] == starts[inner + 1])]
    inner = inner[(kinds[inner - 1] >= DIGIT) & (kinds[inner + 1] >= DIGIT) & (stops[inner] - starts[inner] == 1)]
    marks = zip(inner.tolist(), starts[inner].tolist(), strict=True)
    joiners = np.array([token for token, start in marks if text[start] in JOINERS], dtype=np.intp)
    if not len(joiners):
        return tokens
    begins_T = np.ones(len(tokens), dtype=np.bool_)
    begins_T[joiners] = begins_T[joiners + 1] = False
    begins = np.flatnonzero(begins_T)
    hashes = tokens.hashes.copy()
    hashes[joiners + 1] *= np.uint64(3)  # "a.b" is not "b.a"
    joined_stops = stops[np.append(begins[1:], len(tokens)) - 1]
    return Tokens(np.add.reduceat(hashes, begins), starts[begins], joined_stops, np.maximum.reduceat(kinds, begins))


def count_marked(words_W: Hashes, words: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> tuple[int, int]:
    """The number of words, and of runs of two, whose hashes have a mark in tables, (65536,), at the last 16 bits."""
    if native := _native(0):
        return native.count_marked(np.ascontiguousarray(words_W), words, pairs)
    last_bits = np.uint64(0xFFFF)
    return (
        int(np.count_nonzero(words.take((words_W & last_bits).astype(np.intp)))),
        int(np.count_nonzero(pairs.take((run_hashes(words_W, 2) & last_bits).astype(np.intp)))),
    )


class RunCounts(NamedTuple):
    """How often runs of words stand in a text."""

    most: int
    """Of the most frequent run; 0: the text has no run of this length."""
    first_of_most: int
    """Where the first of the most frequent runs begins, in words; 0 if no run repeats."""
    repeats: int
    """Runs that repeat an earlier one."""


def count_runs(words_W: Hashes, length: int) -> RunCounts:
    """Count the runs of `length` words."""
    if native := _native(0):
        return RunCounts(*native.count_runs(np.ascontiguousarray(words_W), length))
    hashes_R = run_hashes(words_W, length)
    if not len(hashes_R):
        return RunCounts(0, 0, 0)
    ordered_R = np.sort(hashes_R)
    borders = np.concatenate(([0], np.flatnonzero(ordered_R[1:] != ordered_R[:-1]) + 1, [len(ordered_R)]))
    counts = np.diff(borders)
    most = int(counts.max())
    frequent = ordered_R[borders[:-1][counts == most]]
    first = int(np.flatnonzero(np.isin(hashes_R, frequent))[0]) if most > 1 else 0
    return RunCounts(most, first, len(hashes_R) - len(counts))


def run_hashes(words_W: Hashes, length: int) -> Hashes:
    """The hash of each run of `length` words, (W - length + 1,): a polynomial modulo 2**64."""
    count = len(words_W) - length + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    total, doubled, size = np.zeros(count, dtype=np.uint64), words_W, 1  # `doubled`: runs of `size` words
    start = 0
    while True:
        if length & size:
            total = total * _power(size) + doubled[start : start + count]
            start += size
        if 2 * size > length:
            return total
        doubled = doubled[:-size] * _power(size) + doubled[size:]
        size *= 2


def mix_bits(values: Hashes) -> Hashes:
    """Spread the differences of values over all bits (the finalizer of SplitMix64; values from Java's SplittableRandom)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(BASE, exponent, 2**64))


def _tokenize_folded(text: str) -> Tokens:
    """The tokens of a text some of whose characters fold to none or several, or only together with the next."""
    codes_C, places_C = _codes(text), np.arange(len(text))
    codes, starts, ends, last = [], [], [], 0
    for match in _special().finditer(text):
        folded = _codes(fold(match[0]))
        between = slice(last, match.start())
        codes += [codes_C[between], folded]
        starts += [places_C[between], np.full(len(folded), match.start())]
        ends += [places_C[between] + 1, np.full(len(folded), match.end())]
        last = match.end()
    codes_C = np.concatenate([*codes, codes_C[last:]])
    starts_C = np.concatenate([*starts, places_C[last:]])
    ends_C = np.concatenate([*ends, places_C[last:] + 1])
    tokens = _tokens(_character_kinds().take(codes_C), _folded_values().take(codes_C))
    return Tokens(tokens.hashes, starts_C[tokens.starts], ends_C[tokens.stops - 1], tokens.kinds)


def _codes(text: str) -> NDArray[np.intp]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.intp)


_opener = Opener()
_opened: list[NativeWords | None] = []


def expect_text(chars: int) -> None:
    """Prepare for so much text, which may take some seconds; after the first call, no other function does."""
    if _opener.announce(chars) and not _opened:
        _opened.append(Opener.open(_character_kinds(), _folded_values()))


def _native(chars: int) -> NativeWords | None:
    """The compiled code, once there has been enough text, if there is a compiler; gives the same numbers."""
    if not _opened and _opener.is_due(chars):
        _opened.append(Opener.open(_character_kinds(), _folded_values()))
    return _opened[0] if _opened else None


def _tokens(kinds_C: NDArray[np.uint8], values_C: NDArray[np.unsignedinteger]) -> Tokens:
    """The tokens of characters, of which `values_C` are what is hashed: 0 between tokens."""
    parts = [_block(kinds_C[start:stop], values_C[start:stop], start) for start, stop in _blocks(kinds_C, values_C)]
    if len(parts) == 1:
        return Tokens(*parts[0])
    empty = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))
    return Tokens(*map(np.concatenate, zip(*parts, strict=True))) if parts else Tokens(*empty)


def _blocks(kinds_C: NDArray[np.uint8], values_C: NDArray[np.unsignedinteger]) -> list[tuple[int, int]]:
    """Ranges of at most BLOCK_CHARS characters that cut no token shorter than that, and longer ones into such pieces."""
    borders = [0]
    while borders[-1] < len(kinds_C):
        start, stop = borders[-1], min(borders[-1] + BLOCK_CHARS, len(kinds_C))
        if stop < len(kinds_C) and kinds_C[stop] not in (SPACE, WHOLE):
            are_parts = kinds_C[start:stop] >= DIGIT
            same = are_parts if kinds_C[stop] >= DIGIT else values_C[start:stop] == values_C[stop]
            ends = np.flatnonzero(~same)
            stop = start + int(ends[-1]) + 1 if len(ends) else stop
        borders.append(stop)
    return list(pairwise(borders))


def _block(
    kinds_C: NDArray[np.uint8], values_C: NDArray[np.unsignedinteger], offset: int
) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    classes_C = np.minimum(kinds_C, DIGIT)
    begins_C = np.ones(len(kinds_C) + 1, dtype=np.bool_)  # of tokens, and of the spaces after them
    inside_C = begins_C[1:-1]
    np.not_equal(classes_C[1:], classes_C[:-1], out=inside_C)
    inside_C |= kinds_C[1:] == WHOLE
    inside_C |= (values_C[1:] != values_C[:-1]) & (kinds_C[1:] == MARK)
    filled_C = kinds_C != SPACE
    starts = np.flatnonzero(begins_C[:-1] & filled_C)
    if not len(starts):
        return np.empty(0, np.uint64), starts, starts, np.empty(0, np.uint8)
    stops = np.flatnonzero(begins_C[1:] & filled_C) + 1
    powers, inverses = _powers()
    terms_C = values_C * powers[: len(values_C)]
    hashes = mix_bits(np.add.reduceat(terms_C, starts) * inverses[starts])
    return hashes, starts + offset, stops + offset, np.maximum.reduceat(kinds_C, starts)


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """BASE to the power of 1, 2, ..., and of 0, -1, ...: the hash of a token does not depend on its place."""
    powers = np.cumprod(np.full(BLOCK_CHARS, BASE, dtype=np.uint64), dtype=np.uint64)
    inverses = np.cumprod(np.full(BLOCK_CHARS, pow(BASE, -1, 2**64), dtype=np.uint64), dtype=np.uint64)
    return powers, np.concatenate((np.ones(1, dtype=np.uint64), inverses[:-1]))


@cache
def _ascii_lower() -> bytes:
    """Capitals as small letters, control characters as spaces."""
    return bytes(32 if code < 32 or code == 127 else code for code in bytes(range(256)).lower())


@cache
def _ascii_table(*, kinds: bool) -> bytes:
    table = _character_kinds() if kinds else _folded_values()
    return bytes(table[:128].astype(np.uint8)) + bytes(128)


@cache
def _character_kinds() -> NDArray[np.uint8]:
    """By code point: the kind of the character that it folds to."""
    return _character_tables()[0]


@cache
def _folded_values() -> NDArray[np.uint32]:
    """By code point: 1 + the code point that it folds to; 0 between tokens; above 0x110000 if it folds to several."""
    return _character_tables()[1]


@cache
def _character_tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    characters = "".join(map(chr, range(MAX_LETTER + 1)))
    kinds = np.full(sys.maxunicode + 1, MARK, dtype=np.uint8)
    kinds[: len(characters)][np.fromiter(map(str.isalnum, characters), dtype=np.bool_)] = DIGIT
    kinds[: len(characters)][np.fromiter(map(str.isalpha, characters), dtype=np.bool_)] = LETTER
    for kind, pattern in ((SPACE, SPACES), (WHOLE, f"{SINGLE}+")):
        for match in re.finditer(pattern, characters):
            kinds[match.start() : match.end()] = kind
    values = np.arange(1, len(kinds) + 1, dtype=np.uint32)
    for code in _changed_by_folding():
        folded = fold(chr(code))
        if len(folded) == 1 and not unicodedata.combining(folded):
            values[code], kinds[code] = ord(folded) + 1, kinds[ord(folded)]
        elif kinds[code] != MARK or WORD.search(folded):
            values[code] = sys.maxunicode + 2
    values[kinds == SPACE] = 0
    return kinds, values


def _changed_by_folding() -> list[int]:
    codes = range(0x30000)  # beyond are private and unassigned characters
    return [code for code in codes if (character := chr(code)) != fold(character)]


@cache
def _special() -> re.Pattern[str]:
    """A character that folds to several, or may be composed with those after it, and these."""
    composing = "".join(re.escape(chr(code)) for code in range(0x30000) if _composes(chr(code)))
    several = "".join(re.escape(chr(code)) for code in np.flatnonzero(_folded_values() > sys.maxunicode + 1).tolist())
    return re.compile(f"(?s)(?:[{several}]|.(?=[{composing}]))[{composing}]*")


def _composes(character: str) -> bool:
    """Whether a character may be composed with the one before it, or change places with it."""
    folded = unicodedata.normalize("NFKC", character)[:1]
    return unicodedata.combining(folded) > 0 or 0x1161 <= ord(folded or "\0") <= 0x11C2
