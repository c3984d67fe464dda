"""Runs the detectors of the kinds that are asked for over a text."""

import re
from collections.abc import Iterator
from functools import cache

from lmcraft.privacy.scrubbing.detectors.addresses import find_boxes, find_chinese_addresses
from lmcraft.privacy.scrubbing.detectors.announced import find_accounts
from lmcraft.privacy.scrubbing.detectors.chinese_names import find_chinese_names
from lmcraft.privacy.scrubbing.detectors.dates import find_written_birth_dates
from lmcraft.privacy.scrubbing.detectors.emails import find_emails
from lmcraft.privacy.scrubbing.detectors.english_names import find_english_names
from lmcraft.privacy.scrubbing.detectors.network import find_ipv6, find_macs
from lmcraft.privacy.scrubbing.detectors.numbers import DigitScanner
from lmcraft.privacy.scrubbing.detectors.plates import find_chinese_plates, find_plates
from lmcraft.privacy.scrubbing.detectors.secrets import find_secrets
from lmcraft.privacy.scrubbing.folding import fold
from lmcraft.privacy.scrubbing.kinds import Finding, drop_overlaps

HAN = re.compile("[\u4e00-\u9fff]")
OF_TEXT = {
    "email": find_emails,
    "ip": find_ipv6,
    "mac": find_macs,
    "plate": find_plates,
    "address": find_boxes,
    "name": find_english_names,
}
"""By kind: functions of the text alone."""
OF_CHINESE_TEXT = {"plate": find_chinese_plates, "address": find_chinese_addresses, "name": find_chinese_names}
"""The same, for texts with Chinese characters."""


def find_personal_data(text: str, kinds: frozenset[str]) -> list[Finding]:
    """Findings of these kinds in a text, by position, none within another."""
    folded = fold(text)
    findings = list(_find_all(folded.text, kinds))
    if folded.offsets is not None:
        findings = [Finding(kind, *folded.passage(start, stop)) for kind, start, stop in findings]
    return drop_overlaps(findings)


def _find_all(text: str, kinds: frozenset[str]) -> Iterator[Finding]:
    yield from _scanner(kinds).find(text)
    for detectors in (OF_TEXT, OF_CHINESE_TEXT) if HAN.search(text) else (OF_TEXT,):
        for kind, find in detectors.items():
            if kind in kinds:
                yield from find(text)
    lowered = lower(text)
    if "secret" in kinds:
        yield from find_secrets(text, lowered)
    if "account" in kinds:
        yield from find_accounts(lowered)
    if "birth_date" in kinds:
        yield from find_written_birth_dates(text, lowered)


@cache
def _scanner(kinds: frozenset[str]) -> DigitScanner:
    return DigitScanner(kinds)


def lower(text: str) -> str:
    """A text in lower case, as long as before: Python makes two characters of "İ", and of no other."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else re.sub("İ", "i", text).lower()
