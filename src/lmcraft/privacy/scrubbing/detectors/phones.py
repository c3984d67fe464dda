"""Phone numbers: Chinese and American ones by their shape, others by a country code or next to a word."""

import re
from functools import cache, lru_cache
from typing import Any

from lmcraft.extras import import_optional
from lmcraft.privacy.scrubbing.detectors.cues import Cues
from lmcraft.privacy.scrubbing.detectors.identity import NOT_IN_NUMBER

EXTENSION = r"(?:\s?(?:ext\.?|x|转|分机|#)\s?[0-9]{1,6})?"
END = rf"{EXTENSION}{NOT_IN_NUMBER}"
CHINESE_MOBILE = re.compile(
    rf"(?:(?:\+|00)?\(?86\)?[- ]?)?1[3-9][0-9](?:([- ])[0-9]{{4}}\1[0-9]{{4}}|[- ]?[0-9]{{8}}|"
    rf"([- ])[0-9]{{3}}\2[0-9]{{5}}|-?[0-9]{{4}}-?[0-9]{{4}}){NOT_IN_NUMBER}"
)
CHINESE_LANDLINE = re.compile(
    rf"(?:(?:\+|00)86[- ]?)?[(（]?0?(?:10|2[0-9]|[3-9][0-9]{{2}})[)）]?[- ]?[1-9][0-9]{{2,3}}[- ]?[0-9]{{4}}{END}"
)
CHINESE_SERVICE = re.compile(
    rf"[48]00[- ]?[0-9]{{3}}[- ]?[0-9]{{4}}{NOT_IN_NUMBER}|[48]00[- ][0-9]{{4}}[- ]?[0-9]{{3}}{NOT_IN_NUMBER}"
)
AMERICAN = re.compile(
    rf"(?:\+?1[-. ]?)?(?:\([2-9][0-9]{{2}}\)[-. ]?|[2-9][0-9]{{2}}([-. ]))[2-9][0-9]{{2}}[-. ][0-9]{{4}}{END}"
)
BRITISH = re.compile(
    rf"\(?0(?:7[0-9]{{3}}\)? ?[0-9]{{6}}|[12][0-9]{{2}}\)? [0-9]{{3,4}} [0-9]{{4}}|"
    rf"1[0-9]{{3}}\)? [0-9]{{6}}|2[0-9]\)? [0-9]{{4}} [0-9]{{4}}|"
    rf"7[0-9]{{3}} [0-9]{{3}} [0-9]{{3}}){END}"
)
INTERNATIONAL = re.compile(rf"(?:\+|00)[1-9][0-9]{{0,2}}(?:[-. /]{{0,2}}+\(?+[0-9]{{1,14}}+\)?+){{1,7}}+{END}")
NATIONAL = re.compile(rf"\(?[0-9]{{2,15}}+\)?+(?:[-. /]{{0,2}}+\(?+[0-9]{{1,8}}+\)?+){{0,6}}+{END}")
CUES = Cues(
    [
        r"\b(?:tele)?phones?", r"\btel\.?", r"\bmobiles?", r"\bcell(?:ular|phone)?s?", r"\bcall(?:ed|ing| me| us|"
        r" him| her| them)?(?: back)?", r"\bfax", r"\bwhatsapp", r"\bsms", r"\btext(?: me| us| him| her)?",
        r"\bdial", r"\breach(?:ed)?(?: me| us| him| her| them)?", r"\bcontact(?: me| us| him| her)?",
        r"\bhotline", r"\bring(?: me)?", r"\bext", r"\bp:", r"\bt:", r"\bm:",
        "电话", "手机", "联系方式", "联系", "致电", "拨打", "来电", "座机", "热线", "传真", "固话", "号码",
        "打给", "回电", "短信", "移动", "办公室", "家里", "家",
    ],
    "phone phones telephone telephones tel mobile mobiles cell cells cellular cellphone call called calling fax "
    "whatsapp sms text dial reach "
    "reached contact hotline ring ext p t m 电 手 联 致 拨 来 座 热 传 固 号 打 回 短 移 办 家",
)  # fmt: skip
MIN_DIGITS, MAX_DIGITS = 7, 15


def match_phone(text: str, start: int) -> tuple[int, int] | None:
    """A phone number whose first digit stands at a position; what stands before it, such as "+" or "(", is part of it."""
    first = _with_prefix(text, start)
    for pattern in (CHINESE_MOBILE, AMERICAN, BRITISH):
        match = pattern.match(text, first)
        if match is not None:
            return match.span()
    if text[first] == "+" or text.startswith("00", first):
        return _match_international(text, first)
    match = CHINESE_LANDLINE.match(text, first)
    if match is not None and _is_landline(text, first, match[0]):
        return match.span()
    if not CUES.announce(text, first):
        return None
    match = CHINESE_SERVICE.match(text, first)
    if match is not None:
        return match.span()
    match = NATIONAL.match(text, first)
    return match.span() if match is not None and _has_phone_digits(match[0]) else None


def _with_prefix(text: str, start: int) -> int:
    """Where a number starts with its "+" and brackets."""
    if text[start - 1 : start] in ("(", "（"):
        start -= 1
    if text[start - 1 : start] == "+":
        start -= 1
    return start


def _match_international(text: str, start: int) -> tuple[int, int] | None:
    match = INTERNATIONAL.match(text, start)
    if match is None or not _has_phone_digits(match[0]):
        return None
    if text[start] != "+" and not CUES.announce(text, start):
        return None
    number = match[0] if text[start] == "+" else "+" + match[0][2:]
    return match.span() if is_possible_number(number) or CUES.announce(text, start) else None


def _is_landline(text: str, start: int, passage: str) -> bool:
    """Whether a number with a Chinese area code is one: it has a 0 and a separator, or a word announces it."""
    digits = re.sub("[^0-9]", "", passage)
    has_area = passage.lstrip("(（+86 -").startswith("0") and len(digits) >= 10
    is_cut = re.search("[-)） ]", passage) is not None
    return has_area and (is_cut or CUES.announce(text, start))


def _has_phone_digits(passage: str) -> bool:
    return MIN_DIGITS <= sum(map(str.isdigit, re.split("[xe转分#]", passage)[0])) <= MAX_DIGITS


@lru_cache(maxsize=4096)
def is_possible_number(number: str) -> bool:
    """Whether a number with a country code can be one, by its length in that country's plan."""
    phonenumbers = _library()
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False


@cache
def _library() -> Any:
    return import_optional("phonenumbers", "privacy", "scrubbing")
