"""Values that are not personal data, and might be taken for it, for the labelled set of scrubbing.py."""

import string
import uuid

from scrubbing_values import MONTHS, Draw, Source, date, digits, token, with_luhn


def isbn(rng: Source) -> str:
    """An ISBN-13 with hyphens."""
    body = f"9787{digits(rng, 8)}"
    check = -sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(body)) % 10
    return f"978-7-{body[4:8]}-{body[8:]}-{check}"


def day_zh(rng: Source) -> str:
    """A date that is nobody's birthday."""
    year, month, day = date(rng, 1990, 2026)
    return rng.choice((f"{year}年{month}月{day}日", f"{year}-{month:02}-{day:02}"))


def day_en(rng: Source) -> str:
    """A date that is nobody's birthday."""
    year, month, day = date(rng, 1990, 2026)
    return rng.choice((f"{MONTHS[month - 1]} {day}, {year}", f"{year}-{month:02}-{day:02}"))


def day_iso(rng: Source) -> str:
    """A date as logs write it."""
    year, month, day = date(rng, 2019, 2026)
    return f"{year}-{month:02}-{day:02}"


def not_luhn(rng: Source) -> str:
    """Sixteen digits that no card has: the check digit is wrong."""
    number = with_luhn(rng, "4" + digits(rng, 3), 16)
    return number[:-1] + str((int(number[-1]) + rng.randint(1, 9)) % 10)


LOOKALIKES: dict[str, Draw] = {
    "day.zh": day_zh,
    "day.en": day_en,
    "day.iso": day_iso,
    "isbn": isbn,
    "not-a-card": not_luhn,
    "order": lambda rng: f"{rng.randint(2019, 2026)}{digits(rng, rng.choice((8, 12)))}",
    "count": lambda rng: f"{rng.randint(10_000, 99_999_999):,}",
    "version": lambda rng: f"{rng.randint(1, 9)}.{rng.randint(0, 30)}.{rng.randint(0, 99)}",
    "hash": lambda rng: token(rng, 40, "0123456789abcdef"),
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "time": lambda rng: str(1_600_000_000_000 + rng.randint(0, 10**11)),
    "sku": lambda rng: f"{token(rng, 2, string.ascii_uppercase)}-{digits(rng, 6)}",
    "price": lambda rng: f"{rng.randint(1, 9999)}.{rng.randint(0, 99):02}",
    "range": lambda rng: f"{rng.randint(1, 400)}-{rng.randint(401, 900)}",
}
"""What is not personal data, and might be taken for it."""
