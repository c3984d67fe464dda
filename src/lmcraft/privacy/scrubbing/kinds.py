"""The kinds of personal data."""

from typing import NamedTuple

KINDS = {
    "secret": "API keys, tokens, private keys, passwords",
    "email": "e-mail addresses",
    "resident_id": "Chinese resident identity numbers, with their checksum",
    "ssn": "US social security numbers",
    "national_id": "identity and tax numbers of other countries",
    "bank_card": "card numbers, by Luhn's checksum",
    "iban": "international bank account numbers, by their checksum",
    "phone": "phone numbers",
    "ip": "IPv4 and IPv6 addresses",
    "mac": "addresses of network interfaces",
    "passport": "passport numbers, next to the word",
    "driver_license": "driver's license numbers, next to the word",
    "plate": "license plates",
    "bank_account": "account numbers, next to the word",
    "account": "QQ, WeChat and other user names, next to the word",
    "birth_date": "dates of birth, next to the word",
    "address": "postal addresses",
    "name": "names of people",
}
"""Each kind, and what it covers. Of two findings that overlap, the kind that comes first counts."""
RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


class Finding(NamedTuple):
    """A passage with personal data."""

    kind: str
    start: int
    stop: int
    """text[start:stop] is the passage."""


def drop_overlaps(findings: list[Finding]) -> list[Finding]:
    """Findings by position, of those that overlap the one whose kind ranks first, then the longest."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.stop)):
        while kept and finding.start < kept[-1].stop and _precedes(finding, kept[-1]):
            kept.pop()
        if not kept or finding.start >= kept[-1].stop:
            kept.append(finding)
    return kept


def _precedes(finding: Finding, other: Finding) -> bool:
    return (RANKS[finding.kind], finding.start - finding.stop) < (RANKS[other.kind], other.start - other.stop)
