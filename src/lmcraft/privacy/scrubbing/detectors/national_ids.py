"""Identity numbers of other countries than China and the US: by shape and checksum, most of them by python-stdnum."""

import re
from typing import NamedTuple

from lmcraft.privacy.scrubbing.checksums import has_checksum
from lmcraft.privacy.scrubbing.detectors.cues import has_word
from lmcraft.privacy.scrubbing.detectors.identity import NOT_IN_NUMBER


class Shape(NamedTuple):
    """Numbers of a country."""

    pattern: re.Pattern[str]
    scheme: str | None
    """Of stdnum, or "tw"; None if there is no checksum."""
    words: re.Pattern[str] | None = None
    """One of them must stand before the number."""


def is_taiwanese(number: str) -> bool:
    """Whether a Taiwanese identity number has the right check digit."""
    letter = "ABCDEFGHJKLMNPQRSTUVXYWZIO".find(number[0]) + 10
    digits = [letter // 10, letter % 10, *map(int, number[1:])]
    return sum(weight * digit for weight, digit in zip((1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), digits, strict=True)) % 10 == 0


WITH_LETTERS = (
    Shape(re.compile(r"[A-Z][1289][0-9]{8}(?![0-9A-Za-z])"), "tw"),
    Shape(re.compile(r"[A-Z]{1,2}[0-9]{6} ?\([0-9A]\)"), None),  # Hong Kong
    Shape(re.compile(r"[1578][/-]?[0-9]{6}\([0-9]\)"), None),  # Macau
    Shape(
        re.compile(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![0-9A-Za-z])"), None
    ),  # UK
    Shape(re.compile(r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z](?![0-9A-Za-z])"), "it.codicefiscale"),
    Shape(re.compile(r"[XYZ]-?[0-9]{7}-?[A-Z](?![0-9A-Za-z])"), "es.nie"),
    Shape(re.compile(r"[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z](?![0-9A-Za-z])"), None),  # India's PAN
    Shape(re.compile(r"[STFGM][0-9]{7}[A-Z](?![0-9A-Za-z])"), None),  # Singapore
)
IN_DIGITS = (
    Shape(re.compile(rf"[0-9]{{3}}\.[0-9]{{3}}\.[0-9]{{3}}-[0-9]{{2}}{NOT_IN_NUMBER}"), "br.cpf"),
    Shape(re.compile(rf"[0-9]{{6}}-[1-8][0-9]{{6}}{NOT_IN_NUMBER}"), "kr.rrn"),
    Shape(re.compile(r"[0-9]{8}-?[A-Z](?![0-9A-Za-z])"), "es.dni"),
    Shape(
        re.compile(rf"[12] ?[0-9]{{2}} ?[0-9]{{2}} ?[0-9AB]{{2}} ?[0-9]{{3}} ?[0-9]{{3}} ?[0-9]{{2}}{NOT_IN_NUMBER}"),
        "fr.nir",
    ),
    Shape(
        re.compile(rf"[2-9][0-9]{{3}}[ -][0-9]{{4}}[ -][0-9]{{4}}{NOT_IN_NUMBER}"),
        "in_.aadhaar",
        re.compile("aadha?ar|uidai|uid"),
    ),
    Shape(
        re.compile(rf"[0-9]{{3}}[ -][0-9]{{3}}[ -][0-9]{{3}}{NOT_IN_NUMBER}"),
        "ca.sin",
        re.compile(r"\bsin\b|social insurance"),
    ),
    Shape(re.compile(rf"[0-9]{{3}}[ -]?[0-9]{{3}}[ -]?[0-9]{{4}}{NOT_IN_NUMBER}"), "gb.nhs", re.compile(r"\bnhs\b|health")),
)


def match_national_id(text: str, start: int) -> tuple[int, int] | None:
    """An identity number that starts with a digit, at a position."""
    return _match(IN_DIGITS, text, start)


def match_lettered_id(text: str, start: int) -> tuple[int, int] | None:
    """An identity number that starts with a letter, at a position."""
    return _match(WITH_LETTERS, text, start)


def _is_valid(scheme: str | None, number: str) -> bool:
    if scheme is None:
        return True
    return is_taiwanese(number) if scheme == "tw" else has_checksum(scheme, number)


def _match(shapes: tuple[Shape, ...], text: str, start: int) -> tuple[int, int] | None:
    for pattern, scheme, words in shapes:
        match = pattern.match(text, start)
        if match is not None and (words is None or has_word(words, text, start)) and _is_valid(scheme, match[0]):
            return match.span()
    return None
