"""Numbers and names of accounts without a shape of their own: only the word before them says what they are."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lmcraft.privacy.scrubbing.detectors.cues import Cues
from lmcraft.privacy.scrubbing.kinds import Finding

NUMBER = r"(?:(?:[\s/#-]{0,2}(?:no\.?|num(?:ber)?s?|id|card|code|ein)){0,2}\.?)"


class Announced(NamedTuple):
    """A kind of passage, the words before it, and its shape."""

    kind: str
    cues: Cues
    shape: re.Pattern[str]


KINDS_WITH_CUES = (
    Announced(
        "passport",
        Cues([rf"\bpassports?{NUMBER}", "护照", "通行证", "台胞证", "回乡证"], "passport passports 护 通 胞 乡"),
        re.compile(r"(?:[A-Za-z]{1,2}[0-9]{6,9}|[0-9]{8,9}|[A-Za-z][0-9]{2}[A-Za-z0-9]{5,6})(?![A-Za-z0-9])"),
    ),
    Announced(
        "driver_license",
        Cues(
            [
                rf"\b(?:driver'?s?'?|driving) licen[cs]es?{NUMBER}", rf"\bdriver'?s?{NUMBER}", rf"\bdl{NUMBER}",
                "驾驶证", "驾照",
            ],
            "driver drivers driving dl 驾",
        ),
        re.compile(r"[A-Za-z]{0,5}-?[0-9]{2}[0-9A-Za-z-]{4,18}(?![A-Za-z0-9])"),
    ),
    Announced(
        "national_id",
        Cues(
            [
                rf"\b(?:national (?:id|identity|identification|insurance)|tax(?:payer)?(?: id(?:entification)?)?|"
                rf"medicare|nhs|"
                rf"health (?:insurance|card)|social insurance|identity|aadhaa?r|pan|nino|tin|ein|sin|nric|cpf){NUMBER}",
                "社保卡?", "社会保障卡?", "医保卡?", "公积金", "军官证", "士兵证", "居住证", "证件",
            ],
            "national tax taxpayer medicare nhs health insurance identity aadhaar aadhar pan nino tin ein sin nric cpf "
            "社 医 公 军 士 居 证",
        ),
        re.compile(r"[A-Za-z]{0,5}[0-9](?:[ .-]?[0-9A-Za-z]){5,19}?(?!-?[0-9A-Za-z])(?![ .][0-9])"),
    ),
    Announced(
        "account",
        Cues([rf"(?<![a-z])qq{NUMBER}", "扣扣", "企鹅号"], "qq 扣 企"),
        re.compile(r"[1-9][0-9]{4,11}(?![A-Za-z0-9])"),
    ),
    Announced(
        "account",
        Cues(
            [
                rf"(?<![a-z])(?:wechat|weixin|vx|user ?name|user|login|telegram|instagram|twitter|skype|discord){NUMBER}",
                "微信", "支付宝", "抖音", "微博", "用户名",
            ],
            "wechat weixin vx username user login telegram instagram twitter skype discord 微 支 抖 用",
        ),
        re.compile(r"[A-Za-z][A-Za-z0-9_.-]{4,23}(?<![.-])(?![A-Za-z0-9])|1[3-9][0-9]{9}(?![A-Za-z0-9])"),
    ),
)  # fmt: skip
WECHAT = re.compile(
    r"(?:微信|wechat|vx)(?:号|id| id|账号|帐号)?\s?(?:[:：]|是|为|is)?\s?([a-z][a-z0-9_-]{5,19})(?![a-z0-9])"
)
WORDS_NOT_NAMES = frozenset(["number", "account", "friend", "friends", "group", "public", "please", "contact", "official"])


def match_announced(text: str, start: int, kinds: frozenset[str]) -> Finding | None:
    """A passage that starts at a position, and whose kind the words before tell."""
    for kind, cues, shape in KINDS_WITH_CUES:
        if kind in kinds and cues.may_announce(text, start):
            match = shape.match(text, start)
            if match is not None and cues.announce(text, start):
                return Finding(kind, *match.span())
    return None


def find_accounts(lowered: str) -> Iterator[Finding]:
    """Names of accounts at WeChat, also without a digit.

    Args:
        lowered: a text in lower case.
    """
    for stem in ("微信", "wechat", "vx"):
        position = lowered.find(stem)
        while position >= 0:
            match = WECHAT.match(lowered, position)
            if match is not None and match[1] not in WORDS_NOT_NAMES:
                yield Finding("account", *match.span(1))
            position = lowered.find(stem, position + len(stem))
