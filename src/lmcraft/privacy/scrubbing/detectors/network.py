"""Addresses of machines: IPv4, IPv6 and MAC."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from lmcraft.privacy.scrubbing.detectors.cues import has_word
from lmcraft.privacy.scrubbing.kinds import Finding

IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9])")
VERSION_WORDS = re.compile(r"(?:\b(?:versions?|ver|release|section|chapter|firmware|build|v)|版本|版)[.\s:]*\Z")
GROUP = re.compile(r":[0-9A-Fa-f]{0,4}:")
IPV6_START = re.compile(r"[0-9A-Fa-f:]+\Z")
IPV6 = re.compile(r"[0-9A-Fa-f:]{2,39}(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z])")
MAX_IPV6_CHARS = 45
INNER_BYTES = re.compile(
    r"([:-])[0-9A-Fa-f]{2}\1[0-9A-Fa-f]{2}\1[0-9A-Fa-f]{2}\1[0-9A-Fa-f]{2}\1[0-9A-Fa-f]{2}(?![0-9A-Za-z]|"
    r"[:-][0-9A-Fa-f]{2})"
)
FIRST_BYTE = re.compile(r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}\Z")
DOTTED_MAC = re.compile(r"\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![0-9A-Za-z.])")
FIRST_WORD = re.compile(r"(?<![0-9A-Za-z.])[0-9A-Fa-f]{4}\Z")


def match_ipv4(text: str, start: int) -> tuple[int, int] | None:
    """An IPv4 address that starts at a position, without loopback and unspecified ones, which are the same everywhere."""
    match = IPV4.match(text, start)
    if match is None or not _is_ipv4(match[0]) or has_word(VERSION_WORDS, text, start, 12):
        return None
    return match.span()


def find_ipv6(text: str) -> Iterator[Finding]:
    """IPv6 addresses, without the loopback one."""
    last = 0
    for group in GROUP.finditer(text):
        if group.start() < last:
            continue
        before = IPV6_START.search(text, max(0, group.start() - MAX_IPV6_CHARS), group.start())
        start = group.start() if before is None else before.start()
        address = IPV6.match(text, start)
        last = group.end() - 1 if address is None else address.end()
        if address is not None and not text[start - 1 : start].isalnum():
            stop = start + len(address[0] if address[0].endswith("::") else address[0].rstrip(":"))
            if _is_ipv6(text[start:stop]):
                yield Finding("ip", start, stop)


def find_macs(text: str) -> Iterator[Finding]:
    """MAC addresses: six bytes with colons or hyphens, or three words with dots."""
    for inner, first in ((INNER_BYTES, FIRST_BYTE), (DOTTED_MAC, FIRST_WORD)):
        for match in inner.finditer(text):
            before = first.search(text, max(0, match.start() - 5), match.start())
            passage = "" if before is None else text[before.start() : match.end()]
            if before is not None and any(map(str.isdigit, passage)) and not set(passage) <= set("0:-."):
                yield Finding("mac", before.start(), match.end())


def _is_ipv4(passage: str) -> bool:
    try:
        address = IPv4Address(passage)
    except AddressValueError:
        return False
    return not (address.is_loopback or int(address) >> 24 in (0, 255))


def _is_ipv6(passage: str) -> bool:
    """Whether a passage is an IPv6 address rather than names with colons between them, as in C++."""
    groups = [group for group in passage.split(":") if group]
    if (
        not any(map(str.isdigit, passage))
        or len(groups) < 2
        or (len(groups) < 3 and not groups[0][:2].lower().startswith(("2", "f")))
    ):
        return False
    try:
        return not IPv6Address(passage).is_loopback
    except AddressValueError:
        return False
