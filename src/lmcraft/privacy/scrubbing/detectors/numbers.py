"""Digits, in one pass: identity numbers, cards, accounts, phones, dates, addresses of machines and houses, tokens.

Each group of digits is tried as the start of each kind of number. If a letter touches it, it is part of a token, which is
tried as a whole. Every pattern has a bounded length, so the time is linear in the text.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lmcraft.privacy.scrubbing.detectors.addresses import match_english_address
from lmcraft.privacy.scrubbing.detectors.announced import match_announced
from lmcraft.privacy.scrubbing.detectors.banking import match_account, match_card, match_iban
from lmcraft.privacy.scrubbing.detectors.dates import match_birth_date
from lmcraft.privacy.scrubbing.detectors.identity import match_resident_id, match_ssn
from lmcraft.privacy.scrubbing.detectors.national_ids import match_lettered_id, match_national_id
from lmcraft.privacy.scrubbing.detectors.network import match_ipv4
from lmcraft.privacy.scrubbing.detectors.phones import match_phone
from lmcraft.privacy.scrubbing.detectors.secrets import match_token
from lmcraft.privacy.scrubbing.kinds import Finding

GROUP = re.compile("[0-9]++")
RUN = re.compile(r"[0-9](?:[ \-.()（）/年月]{0,3}+[0-9]){4}")
"""The beginning of what has at least five digits."""
TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]++")
MAX_TOKEN_CHARS = 400
LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
MAX_HOUSE_DIGITS, MAX_BYTE_DIGITS = 6, 3
HOUSE_NEXT = frozenset(" ,-ABCDEF")

Match = Callable[[str, int], tuple[int, int] | None]


class Matcher(NamedTuple):
    """A kind of number, and the function that finds the passage of one that starts at a position."""

    kind: str
    match: Match


MATCHERS = (
    Matcher("resident_id", match_resident_id),
    Matcher("ssn", match_ssn),
    Matcher("bank_card", match_card),
    Matcher("national_id", match_national_id),
    Matcher("birth_date", match_birth_date),
    Matcher("bank_account", match_account),
)
"""Before what only a word announces."""


class DigitScanner:
    """Finds what has digits, of some kinds.

    Args:
        kinds: the kinds to look for.
    """

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        self._matchers = [matcher for matcher in MATCHERS if matcher.kind in kinds]

    def find(self, text: str) -> Iterator[Finding]:
        """The findings in a text, by position."""
        last = 0
        for group in GROUP.finditer(text):
            start, stop = group.span()
            if start < last:
                continue
            before, after = text[start - 1 : start], text[stop : stop + 1]
            if before not in LETTERS and not _is_joined(text, start, before):
                finding = self._match_number(text, start, stop, after)
                if finding is not None:
                    last = finding.stop
                    yield finding
                    continue
            if before in LETTERS or after in LETTERS or before == "-":
                first, last = _token_around(text, max(last, start - MAX_TOKEN_CHARS), start)
                for finding in self._match_token(text, first, last):
                    last = max(last, finding.stop)
                    yield finding

    def _match_number(self, text: str, start: int, stop: int, after: str) -> Finding | None:
        kinds = self._kinds
        if after == "." and stop - start <= MAX_BYTE_DIGITS and "ip" in kinds:
            passage = match_ipv4(text, start)
            if passage is not None:
                return Finding("ip", *passage)
        if after in HOUSE_NEXT and stop - start <= MAX_HOUSE_DIGITS and "address" in kinds:
            passage = match_english_address(text, start)
            if passage is not None:
                return Finding("address", *passage)
        if RUN.match(text, start) is None:
            return None
        if "national_id" in kinds and text[start - 3 : start - 1].isupper() and text[start - 1] == " ":
            passage = match_lettered_id(text, start - 3)  # QQ 12 34 56 C
            if passage is not None and not text[start - 4 : start - 3].isalnum():
                return Finding("national_id", *passage)
        for kind, match in self._matchers:
            passage = match(text, start)
            if passage is not None:
                return Finding(kind, *passage)
        announced = match_announced(text, start, kinds)
        if announced is not None or "phone" not in kinds:
            return announced
        passage = match_phone(text, start)
        return None if passage is None else Finding("phone", *passage)

    def _match_token(self, text: str, start: int, stop: int) -> Iterator[Finding]:
        kinds = self._kinds
        if "secret" in kinds:
            findings = list(match_token(text, start, stop))
            if findings:
                yield from findings
                return
        passage = match_lettered_id(text, start) if "national_id" in kinds else None
        if passage is not None:
            yield Finding("national_id", *passage)
            return
        passage = match_iban(text, start) if "iban" in kinds else None
        if passage is not None:
            yield Finding("iban", *passage)
            return
        passage = match_national_id(text, start) if "national_id" in kinds else None
        announced = Finding("national_id", *passage) if passage is not None else match_announced(text, start, kinds)
        if announced is not None:
            yield announced


def _is_joined(text: str, start: int, before: str) -> bool:
    """Whether a hyphen or dot joins digits to digits or letters before them."""
    return before in ("-", ".") and text[start - 2 : start - 1].isalnum() and text[start - 2 : start - 1].isascii()


def _token_around(text: str, first: int, start: int) -> tuple[int, int]:
    """Start and end of the token of which a digit is part."""
    reach = TOKEN.match(text[first:start][::-1])
    begin = start if reach is None else start - reach.end()
    while begin < start and not text[begin].isalnum():
        begin += 1
    match = TOKEN.match(text, start, start + MAX_TOKEN_CHARS)
    assert match is not None
    return begin, match.end()
