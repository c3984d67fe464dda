"""Dates of birth: dates that a word announces, before or after."""

import re
from collections.abc import Iterator
from datetime import date

from lmcraft.privacy.scrubbing.detectors.cues import Cues
from lmcraft.privacy.scrubbing.kinds import Finding

CUES = Cues(
    [
        r"\b(?:date of birth|birth ?dates?|birthdays?|d\.?o\.?b\.?|born(?: on| in)?|b\.)",
        "出生(?:日期|年月日?|时间|日|于)?", "生日", "生于", "诞生于", "生辰", "date de naissance", "geburtsdatum",
    ],
    "birth birthdate birthdates birthday birthdays dob d born b naissance geburtsdatum 生",
)  # fmt: skip
STEMS = ("born", "birth", "dob", "出生", "生日", "生于")
MAX_DISTANCE_CHARS = 60
AFTER = re.compile(r"\s*(?:出生|生(?![产活意病气成])|诞生|\(?(?:date of birth|dob)\b|is (?:my|his|her) birthday)")
DATE = re.compile(
    r"(?:[0-9]{4}\s?[-/.年]\s?[0-9]{1,2}\s?[-/.月]\s?[0-9]{1,2}(?:\s?[日号])?|"
    r"[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ](?:[0-9]{4}|[0-9]{2})|"
    r"(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]|(?:19|20)[0-9]{2}\s?年(?:\s?[0-9]{1,2}\s?月)?)(?![0-9A-Za-z])"
)
MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|"
    "Jul|Aug|Sept?|Oct|Nov|Dec"
)
WRITTEN_DATE = re.compile(
    rf"\b(?:(?:{MONTHS})\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}|[0-9]{{1,2}}(?:st|nd|rd|"
    rf"th)?(?: of)?[ -](?:{MONTHS})\.?,?[ -][0-9]{{4}})\b"
)
CHINESE_DATE = re.compile("[一二三四五六七八九〇零○]{4}年[一二三四五六七八九十]{1,2}月[一二三四五六七八九十]{1,3}日")


def match_birth_date(text: str, start: int) -> tuple[int, int] | None:
    """A date in digits that a word makes a date of birth."""
    match = DATE.match(text, start)
    if match is None or not _is_announced(text, *match.span()):
        return None
    return match.span() if _is_plausible(match[0]) else None


def find_written_birth_dates(text: str, lowered: str) -> Iterator[Finding]:
    """Dates of birth with the month in letters, or in Chinese numerals, around the words that announce them.

    Args:
        text: the text.
        lowered: the same in lower case, as long.
    """
    last = 0
    for stem in STEMS:
        position, last = lowered.find(stem), 0
        while position >= 0:
            first = max(last, position - MAX_DISTANCE_CHARS)
            for pattern in (WRITTEN_DATE, CHINESE_DATE):
                for match in pattern.finditer(text, first, position + MAX_DISTANCE_CHARS):
                    if _is_announced(text, *match.span()):
                        last = match.end()
                        yield Finding("birth_date", *match.span())
            position = lowered.find(stem, max(last, position + len(stem)))


def _is_announced(text: str, start: int, stop: int) -> bool:
    return CUES.announce(text, start) or AFTER.match(text[stop : stop + 24].lower()) is not None


def _is_plausible(passage: str) -> bool:
    """Whether a year in a date can be one of birth."""
    years = [int(digits) for digits in re.findall("[0-9]{4}", passage)]
    return not years or 1880 <= years[0] <= date.today().year
