"""Numbers and names of accounts that have no shape of their own, so that only the word before them tells what they "
"are."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lmcraft.privacy.scrubbing.detectors.cues import GAP, LINKS
from lmcraft.privacy.scrubbing.kinds import Finding

NUMBER = r"(?:no\.?|num(?:ber)?s?|#|id|card)"
DIGITS_FIRST = r"(?=[a-z0-9 -]{0,4}[0-9])"


class Announcement(NamedTuple):
    """Words that announce a passage."""

    kind: str
    stems: tuple[str, ...]
    """Beginnings of the words, as a search finds them."""
    pattern: re.Pattern[str]
    """From the beginning of a word on; the group is the passage."""


def _announcement(kind: str, stems: str, words: str, value: str) -> Announcement:
    pattern = rf"(?:{words})(?: ?{NUMBER})?(?:{GAP}{LINKS}){{0,4}}{GAP}(?<![a-z0-9])({value})(?![a-z0-9_])"
    return Announcement(kind, tuple(stems.split()), re.compile(pattern))


ANNOUNCEMENTS = (
    _announcement(
        "passport",
        "passport 护照 通行证 台胞证 回乡证",
        "passports?|护照|通行证|台胞证|回乡证",
        r"[a-z]{1,2}[0-9]{6,9}|[0-9]{8,9}|[a-z][0-9]{2}[a-z0-9]{5,6}",
    ),
    _announcement(
        "driver_license",
        "driver driving dl 驾驶证 驾照",
        r"driver'?s?'? licen[cs]es?|driver'?s?'? id|driving licen[cs]es?|dl|驾驶证|驾照",
        r"[a-z]{0,5}-?[0-9]{2}[0-9a-z-]{4,18}",
    ),
    _announcement(
        "national_id",
        "national tax medicare nhs insurance identity aadhaar aadhar pan nino tin sin nric cpf "
        "社保 社会保障 医保 公积金 军官证 士兵证 居住证 证件",
        "national id(?:entity|entification)?|national insurance|tax id(?:entification)?|taxpayer "
        "id(?:entification)?|medicare|nhs|insurance|identity|"
        "aadhaar|aadhar|pan|nino|tin|sin|nric|cpf|社保卡?|社会保障卡?|医保卡?|公积金|军官证|士兵证|居住证|证件",
        rf"{DIGITS_FIRST}[a-z]{{0,5}}[0-9](?:[ .-]?[0-9a-z]){{5,19}}",
    ),
    _announcement("account", "qq 扣扣 企鹅号", "qq|扣扣|企鹅号", "[1-9][0-9]{4,11}"),
    _announcement(
        "account",
        "wechat weixin vx 微信 支付宝 抖音 微博",
        "wechat|weixin|vx|微信|支付宝|抖音|微博",
        "[a-z][a-z0-9_-]{5,19}|[1-9][0-9]{4,11}",
    ),
    _announcement(
        "account",
        "username user login telegram instagram twitter skype discord 用户名",
        "user ?name|user ?id|login|telegram|instagram|twitter|skype|discord|用户名",
        "@?[a-z][a-z0-9_.]*[0-9_][a-z0-9_]{0,20}|@[a-z][a-z0-9_]{3,30}",
    ),
)
WORD_LINKS = frozenset(
    ["number", "account", "friend", "group", "public", "mobile", "please", "contact", "username", "password", "official"]
)


def find_announced(lowered: str, kinds: frozenset[str]) -> Iterator[Finding]:
    """Passages after the words that announce them.

    Args:
        lowered: a text in lower case.
        kinds: the kinds to look for.
    """
    for kind, stems, pattern in ANNOUNCEMENTS:
        if kind not in kinds:
            continue
        for stem in stems:
            position = lowered.find(stem)
            while position >= 0:
                match = None if _is_inside_word(lowered, position) else pattern.match(lowered, position)
                if match is not None and match[1] not in WORD_LINKS:
                    yield Finding(kind, *match.span(1))
                    position = match.end() - len(stem)
                position = lowered.find(stem, position + len(stem))


def _is_inside_word(lowered: str, position: int) -> bool:
    return (
        lowered[position].isascii()
        and lowered[position - 1 : position].isascii()
        and lowered[position - 1 : position].isalpha()
    )
