"""Runs the detectors of the kinds that are asked for over a text."""

import re
from collections.abc import Iterator

from lmcraft.privacy.scrubbing.detectors.addresses import find_chinese_addresses, find_english_addresses
from lmcraft.privacy.scrubbing.detectors.announced import find_announced
from lmcraft.privacy.scrubbing.detectors.banking import find_ibans
from lmcraft.privacy.scrubbing.detectors.chinese_names import find_chinese_names
from lmcraft.privacy.scrubbing.detectors.dates import find_written_birth_dates
from lmcraft.privacy.scrubbing.detectors.emails import find_emails
from lmcraft.privacy.scrubbing.detectors.english_names import find_english_names
from lmcraft.privacy.scrubbing.detectors.national_ids import find_lettered_ids
from lmcraft.privacy.scrubbing.detectors.network import find_ips, find_macs
from lmcraft.privacy.scrubbing.detectors.numbers import find_numbers
from lmcraft.privacy.scrubbing.detectors.plates import find_plates
from lmcraft.privacy.scrubbing.detectors.secrets import find_secrets
from lmcraft.privacy.scrubbing.folding import fold
from lmcraft.privacy.scrubbing.kinds import Finding, drop_overlaps

DETECTORS = {
    "email": (find_emails,),
    "ip": (find_ips,),
    "mac": (find_macs,),
    "iban": (find_ibans,),
    "plate": (find_plates,),
    "national_id": (find_lettered_ids,),
    "birth_date": (find_written_birth_dates,),
    "address": (find_chinese_addresses, find_english_addresses),
    "name": (find_chinese_names, find_english_names),
}
"""By kind: functions of the text alone."""


def find_personal_data(text: str, kinds: frozenset[str]) -> list[Finding]:
    """Findings of these kinds in a text, by position, none within another."""
    folded = fold(text)
    findings = list(_find_all(folded.text, kinds))
    if folded.offsets is not None:
        findings = [Finding(kind, *folded.passage(start, stop)) for kind, start, stop in findings]
    return drop_overlaps(findings)


def _find_all(text: str, kinds: frozenset[str]) -> Iterator[Finding]:
    lowered = lower(text)
    if "secret" in kinds:
        yield from find_secrets(text, lowered)
    yield from find_numbers(text, kinds)
    yield from find_announced(lowered, kinds)
    for kind, functions in DETECTORS.items():
        if kind in kinds:
            for find in functions:
                yield from find(text)


def lower(text: str) -> str:
    """A text in lower case, as long as before: Python makes two characters of "İ", and of no other."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else re.sub("İ", "i", text).lower()
