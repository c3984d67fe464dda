"""What pseudonyms look like. Each form says which passages it takes, and knows its pseudonyms in a text.

| form | of | looks like |
|---|---|---|
| `Email` | e-mail addresses | k3v2...@pseudonym.invalid |
| `Number` | numbers, also with letters | 99911482-9173-5520: 999, how many digits and letters, others in their places |
| `ChineseName` | Chinese names | 化名 and six characters |
| `Name` | other names | Kovamesi Tarubolo Pezanifa |
| `IPv4` | IPv4 addresses | 2001:db8:0:4:..., addresses for documentation (RFC 3849) |
| `Token` | everything else | pseudonym-k3v2... |
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from ipaddress import AddressValueError, IPv4Address
from itertools import islice
from math import prod

from lmcraft.privacy.scrubbing.pseudonyms.cipher import Cipher

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
BLOCK_BYTES, MIN_BLOCKS = 8, 2
COUNT_CHARS = 3
"""Of the number of blocks, in base 32."""
CHECK_BYTES = 8
LABEL_CHARS = 60  # of an e-mail address, between two dots
CLASSES = (
    "0123456789",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "abcdefghijklmnopqrstuvwxyz",
    "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼",
)
MIN_NUMBER_CHARS, MAX_NUMBER_CHARS = 5, 60
HAN_FIRST, HAN_COUNT = 0x4E00, 0x5200
MAX_CHINESE_CHARS, CHINESE_CHARS, CHINESE_BITS = 4, 6, 11
CONSONANTS, VOWELS = "bdfghjklmnprstvz", "aeio"
NAME_LETTERS = " '-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SYLLABLES_PER_WORD = 4
WORDS_BY_INITIAL = {"K": 3, "L": 4, "M": 5, "N": 6, "R": 8}
"""Of a name: its first letter says how many words it has."""


Permutation = Callable[[int, int, int, str], int]
"""`Cipher.encrypt` or `Cipher.decrypt`."""


class Form:
    """A form of pseudonyms.

    `pattern` matches what may be one; `decode` then has the last word.
    """

    pattern: re.Pattern[str]

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of a passage; None if it does not fit the form."""
        raise NotImplementedError

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """The passage whose pseudonym starts at a position, and where the pseudonym ends; None if there is none."""
        raise NotImplementedError


class Token(Form):
    """A prefix, then the encrypted bytes of the passage in base 32, with a checksum."""

    pattern = re.compile("pseudonym-")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of any passage."""
        return f"pseudonym-{encode_bytes(cipher, passage)}"

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        return decode_bytes(cipher, text, start + len("pseudonym-"))


class Email(Form):
    """An address in the domain pseudonym.invalid, which cannot exist (RFC 2606)."""

    pattern = re.compile(r"(?<![a-z0-9.])[a-z2-7]{16,60}(?:\.[a-z2-7]{1,60}){0,40}@pseudonym\.invalid")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of an e-mail address."""
        if kind != "email":
            return None
        body = encode_bytes(cipher, passage)
        labels = [body[start : start + LABEL_CHARS] for start in range(0, len(body), LABEL_CHARS)]
        return f"{'.'.join(labels)}@pseudonym.invalid"

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        match = self.pattern.match(text, start)
        if match is None:
            return None
        body = match[0].partition("@")[0].replace(".", "")
        result = decode_bytes(cipher, body, 0)
        return None if result is None or result[1] != len(body) else (result[0], match.end())


class Number(Form):
    """999, the number of digits and letters in two digits, then as many others of the same classes, with separators."""

    pattern = re.compile("(?<![0-9A-Za-z])999[0-9]{2}")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of a passage of digits, letters and separators."""
        classes = [_class_of(character) for character in passage]
        radices = [len(members) for members in classes if members]
        is_plain = all(members or character in SEPARATORS for character, members in zip(passage, classes, strict=True))
        if kind in WORDY_KINDS or not is_plain or not MIN_NUMBER_CHARS <= len(radices) <= MAX_NUMBER_CHARS:
            return None
        start = passage.startswith("+")
        return f"{'+' * start}999{len(radices):02}{_permute(cipher.encrypt, passage, classes)[start:]}"

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        size, stop = int(text[start + 3 : start + 5]), start + 5
        while size and stop < len(text):
            members = _class_of(text[stop])
            if not members and text[stop] not in SEPARATORS:
                return None
            size -= bool(members)
            stop += 1
        body = text[start + 5 : stop]
        if size or not body or int(text[start + 3 : start + 5]) < MIN_NUMBER_CHARS:
            return None
        return _permute(cipher.decrypt, body, [_class_of(character) for character in body]), stop


class ChineseName(Form):
    """化名, that is alias, then six characters."""

    pattern = re.compile("化名")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of a name of two to four Chinese characters."""
        codes = [ord(character) - HAN_FIRST for character in passage]
        if kind != "name" or not 2 <= len(codes) <= MAX_CHINESE_CHARS or not all(0 <= code < HAN_COUNT for code in codes):
            return None
        half = 1 << CHINESE_CHARS * CHINESE_BITS // 2
        number = cipher.encrypt(_join(codes, HAN_COUNT), half, half, "chinese-name")
        table = _han_table()
        return "化名" + "".join(table[(number >> CHINESE_BITS * index) % 2**CHINESE_BITS] for index in range(CHINESE_CHARS))

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        stop = start + 2 + CHINESE_CHARS
        codes = [_han_positions().get(character) for character in text[start + 2 : stop]]
        number = sum(digit << CHINESE_BITS * index for index, digit in enumerate(codes) if digit is not None)
        if len(codes) < CHINESE_CHARS or None in codes:
            return None
        half = 1 << CHINESE_CHARS * CHINESE_BITS // 2
        characters = _split(cipher.decrypt(number, half, half, "chinese-name"), HAN_COUNT, MAX_CHINESE_CHARS)
        if characters is None or len(characters) < 2:
            return None
        return "".join(chr(HAN_FIRST + code) for code in characters), stop


class Name(Form):
    """Words of four syllables. The first letter says how many."""

    pattern = re.compile(rf"(?<![A-Za-z])[{''.join(WORDS_BY_INITIAL)}][{VOWELS}](?:[{CONSONANTS}][{VOWELS}]){{3}}(?: [A-Z])")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of a name in ASCII."""
        digits = [NAME_LETTERS.find(character) for character in passage]
        if kind != "name" or -1 in digits:
            return None
        number = _join(digits, len(NAME_LETTERS))
        for initial, words in WORDS_BY_INITIAL.items():
            left, right = _halves(words)
            if number < left * right:
                return _spell(cipher.encrypt(number, left, right, "name"), initial, words)
        return None

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        words = WORDS_BY_INITIAL[text[start]]
        stop = start + words * (2 * SYLLABLES_PER_WORD + 1) - 1
        number = _read_name(text[start:stop], words)
        if number is None or text[stop : stop + 1].isalpha():
            return None
        left, right = _halves(words)
        digits = _split(cipher.decrypt(number, left, right, "name"), len(NAME_LETTERS), 80)
        if not digits:
            return None
        return "".join(NAME_LETTERS[digit] for digit in digits), stop


class IPv4(Form):
    """An IPv6 address of the block for documentation."""

    pattern = re.compile(r"2001:db8:0:4(?::[0-9a-f]{4}){4}(?![0-9a-f:])")

    def encode(self, cipher: Cipher, kind: str, passage: str) -> str | None:
        """The pseudonym of an IPv4 address."""
        try:
            number = int(IPv4Address(passage))
        except AddressValueError:
            return None
        if kind != "ip" or not passage.isascii():
            return None
        hexadecimal = f"{cipher.encrypt(number, 1 << 32, 1 << 32, 'ipv4'):016x}"
        return ":".join(["2001:db8:0:4", *(hexadecimal[start : start + 4] for start in range(0, 16, 4))])

    def decode(self, cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
        """See `Form`."""
        match = self.pattern.match(text, start)
        if match is None:
            return None
        number = cipher.decrypt(int(match[0][len("2001:db8:0:4:") :].replace(":", ""), 16), 1 << 32, 1 << 32, "ipv4")
        return (str(IPv4Address(number)), match.end()) if number < 1 << 32 else None


WORDY_KINDS = frozenset(["email", "name", "address", "secret", "ip"])
SEPARATORS = frozenset(" -./()+年月日号·•:")
TOKEN = Token()
FORMS: Sequence[Form] = (Email(), IPv4(), ChineseName(), Name(), Number(), TOKEN)
"""The first that takes a passage has it."""


def encode_bytes(cipher: Cipher, passage: str) -> str:
    """A passage in base 32, encrypted: the number of blocks, then the blocks."""
    data = bytes(CHECK_BYTES) + passage.encode("utf-8", "surrogatepass") + b"\x01"
    blocks = max(MIN_BLOCKS, -(-len(data) // BLOCK_BYTES))
    size = blocks * BLOCK_BYTES
    half = 1 << size * 4
    number = cipher.encrypt(int.from_bytes(data.ljust(size, b"\0")), half, half, "bytes")
    chars = -(-size * 8 // 5)
    return _to_base32(blocks, COUNT_CHARS) + _to_base32(number, chars)


def decode_bytes(cipher: Cipher, text: str, start: int) -> tuple[str, int] | None:
    """The passage of `encode_bytes` at a position, and where it ends; None if there is none under this key."""
    blocks = _from_base32(text[start : start + COUNT_CHARS])
    if blocks is None or blocks < MIN_BLOCKS:
        return None
    size = blocks * BLOCK_BYTES
    stop = start + COUNT_CHARS + -(-size * 8 // 5)
    number, half = _from_base32(text[start + COUNT_CHARS : stop]), 1 << size * 4
    if number is None or stop > len(text) or number >= half * half:
        return None
    data = cipher.decrypt(number, half, half, "bytes").to_bytes(size)
    passage, end, padding = data[CHECK_BYTES:].rpartition(b"\x01")
    if any(data[:CHECK_BYTES]) or not end or any(padding):
        return None
    return passage.decode("utf-8", "surrogatepass"), stop


def _to_base32(number: int, length: int) -> str:
    return "".join(BASE32[(number >> 5 * index) & 31] for index in reversed(range(length)))


def _from_base32(text: str) -> int | None:
    number = 0
    for character in text:
        digit = BASE32.find(character)
        if digit < 0:
            return None
        number = number << 5 | digit
    return number if text else None


def _class_of(character: str) -> str:
    return next((members for members in CLASSES if character in members), "")


def _permute(permutation: Permutation, passage: str, classes: Sequence[str]) -> str:
    """A passage with other digits and letters of the same classes."""
    members = [group for group in classes if group]
    radices = [len(group) for group in members]
    number = 0
    for character, group in zip(passage, classes, strict=True):
        if group:
            number = number * len(group) + group.index(character)
    middle = len(radices) // 2
    domain = "number " + "".join(str(CLASSES.index(group)) for group in members)
    number = permutation(number, prod(radices[:middle]), prod(radices[middle:]), domain)
    replaced = []
    for group in reversed(members):
        number, digit = divmod(number, len(group))
        replaced.append(group[digit])
    return "".join(replaced.pop() if group else character for character, group in zip(passage, classes, strict=True))


def _join(digits: Sequence[int], base: int) -> int:
    """A list of digits as a number, so that lists of different lengths are different numbers."""
    number = 0
    for digit in digits:
        number = number * base + digit + 1
    return number


def _split(number: int, base: int, longest: int) -> list[int] | None:
    """The list of digits of a number; None if it is longer than `longest`."""
    digits: list[int] = []
    while number and len(digits) <= longest:
        number, digit = divmod(number - 1, base)
        digits.append(digit)
    return digits[::-1] if not number and len(digits) <= longest else None


def _halves(words: int) -> tuple[int, int]:
    """The sizes of the halves of names with some words: the first consonant is their number."""
    bits = 6 * SYLLABLES_PER_WORD * words - 4
    return 1 << bits // 2, 1 << bits - bits // 2


def _spell(number: int, initial: str, words: int) -> str:
    letters = []
    for _ in range(words * SYLLABLES_PER_WORD - 1):
        number, syllable = divmod(number, 64)
        letters.append(CONSONANTS[syllable // 4] + VOWELS[syllable % 4])
    syllables = [initial + VOWELS[number], *letters]
    size = SYLLABLES_PER_WORD
    return " ".join("".join(syllables[start : start + size]).capitalize() for start in range(0, len(syllables), size))


def _read_name(text: str, words: int) -> int | None:
    """The number of `_spell`; None if it is no such name."""
    parts = text.split(" ")
    if len(parts) != words or any(len(part) != 2 * SYLLABLES_PER_WORD or part != part.capitalize() for part in parts):
        return None
    letters = "".join(parts).lower()
    number = 0
    for start in reversed(range(2, len(letters), 2)):
        consonant, vowel = CONSONANTS.find(letters[start]), VOWELS.find(letters[start + 1])
        if min(consonant, vowel) < 0:
            return None
        number = number + (consonant * 4 + vowel) * 64 ** (start // 2 - 1)
    vowel = VOWELS.find(letters[1])
    return None if vowel < 0 else number + vowel * 64 ** (len(letters) // 2 - 1)


@cache
def _han_table() -> str:
    """The first characters of GB 2312, its frequent ones by pronunciation: they never change."""
    codes = (bytes([row, column]) for row in range(0xB0, 0xD7) for column in range(0xA1, 0xFF))
    return "".join(code.decode("gb2312") for code in islice(codes, 1 << CHINESE_BITS))


@cache
def _han_positions() -> Mapping[str, int]:
    return {character: index for index, character in enumerate(_han_table())}
