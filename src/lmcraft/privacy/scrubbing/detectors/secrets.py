"""What opens doors: tokens of well-known shapes, private keys, passwords in URLs, and values that a word announces."""

import re
from collections.abc import Iterator

from lmcraft.privacy.scrubbing.detectors.cues import Cues
from lmcraft.privacy.scrubbing.kinds import Finding

TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{20,}|(?:gh[pousr]_|hf_|npm_|gsk_|r8_|xai-|pplx-|nvapi-|sk_|api_org_)[A-Za-z0-9_-]{20,}|"
    r"github_pat_[A-Za-z0-9_]{20,}|"
    r"gl(?:pat|dt|rt|cbt)-[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|"
    r"(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|"
    r"GOCSPX-[A-Za-z0-9_-]{20,}|"
    r"pypi-[A-Za-z0-9_-]{16,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|(?:sk|rk|pk)_(?:live|"
    r"test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{16,}|"
    r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|do[opr]_v1_[a-f0-9]{64}|(?:AC|SK)[a-f0-9]{32}|key-[0-9a-f]{32}|"
    r"LTAI[A-Za-z0-9]{12,20}|AKID[A-Za-z0-9]{13,40}|sq0(?:atp|csp)-[A-Za-z0-9_-]{20,}|PMAK-[a-f0-9-]{20,}|"
    r"lin_api_[A-Za-z0-9]{20,}|ntn_[A-Za-z0-9]{20,}|dckr_pat_[A-Za-z0-9_-]{20,}|dapi[a-f0-9]{32}|glsa_[A-Za-z0-9_]{20,}|"
    r"EAA[A-Za-z0-9]{30,}|AGE-SECRET-KEY-[A-Z0-9]{20,}|vault:v1:|hv[sb]\.[A-Za-z0-9_-]{20,}|"
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{8,})*"
    r")"
)
LETTERS_ONLY = "hf_"
"""Begins tokens that need not have a digit."""
TELEGRAM = re.compile(r":AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")
KEY_BEGIN, KEY_END = "-----BEGIN ", re.compile(r"-----END [A-Z0-9 ]{1,40}-----")
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
MAX_KEY_CHARS = 16_384
USER_INFO = re.compile(r"://([^\s/:@?#\"'<>]{0,128}:[^\s/@\"'<>]{1,256})@")
STEMS = ("passw", "pwd", "passphrase", "passcode", "密码", "口令")
SIGN = (
    r"[\"'`]?[ \t]{0,9}(?::=|=>|[:=：＝]|\bis\b|\bwas\b|是|为|改成|设为|设置为|重置为)[ \t]{0,9}[\"'“‘「`]?|"
    r"[ \t]{1,9}(?=[^\s]{0,40}[0-9])"
)
VALUE = r"[^\s\"'“”‘’「」,，;；。、<>(){}\[\]\u4e00-\u9fff]{4,200}"
PASSWORD = re.compile(rf"(?:passw(?:or[dt]s?|ds?)|pwd|passphrase|passcode|密码|口令)(?P<sign>{SIGN})(?P<value>{VALUE})")
"""Each begins with a stem, so that a search for the stems finds it."""
CODE = re.compile(r"[(\[{<]|^\$|\.[a-z_]+|^[a-z_]+$|none|null|true|false|self|^\*+$|^x+$|^\W+$")
TOKEN_CUES = Cues(
    [
        r"(?:secrets?(?:[ _-]?(?:access[ _-]?)?key)?|tokens?|api[ _-]?keys?(?:[ _-]?id)?|(?<![a-z])key(?:[ _-]?id)?|"
        r"accesskey(?:id|secret)?|authorization|credentials?)[\"'`]?\s{0,9}(?::=|=>|[:=：＝]|\bis\b|是|"
        r"为)\s{0,9}(?:bearer |basic |token )?",
        r"\bbearer ", "密钥", "令牌",
    ],
    "secret secrets token tokens key keys accesskey authorization credential credentials bearer id apikey keyid 密 令 "
    "accesskeyid accesskeysecret",
)  # fmt: skip
MIN_TOKEN_CHARS = 12


def match_token(text: str, start: int, stop: int) -> Iterator[Finding]:
    """Tokens of well-known shapes in a run of their characters, or all of it if a word announces one."""
    is_known = False
    for match in TOKEN.finditer(text, start, stop):
        is_known = True
        yield Finding("secret", match.start(), match.start() + len(match[0].rstrip("-_.")))
    if not is_known and stop - start >= MIN_TOKEN_CHARS:
        first = text.rfind("=", start, stop - MIN_TOKEN_CHARS) + 1 or start  # NAME=VALUE
        value = text[first:stop].rstrip(".")
        has_letter = any(map(str.isalpha, value))
        if has_letter and any(map(str.isdigit, value)) and TOKEN_CUES.announce(text, first):
            yield Finding("secret", first, first + len(value))


def find_secrets(text: str, lowered: str) -> Iterator[Finding]:
    """Private keys and passwords.

    Args:
        text: the text.
        lowered: the same in lower case, as long.
    """
    yield from _private_keys(text)
    start = text.find(LETTERS_ONLY)
    while start >= 0:
        token = TOKEN.match(text, start)
        if token is not None:
            yield Finding("secret", *token.span())
        start = text.find(LETTERS_ONLY, start + 1 if token is None else token.end())
    if ":AA" in text:
        for match in TELEGRAM.finditer(text):
            digits = re.search(r"[0-9]{6,12}\Z", text[max(0, match.start() - 12) : match.start()])
            if digits:
                yield Finding("secret", match.start() - len(digits[0]), match.end())
    if "://" in text:
        for match in USER_INFO.finditer(text):
            yield Finding("secret", *match.span(1))
    yield from _passwords(text, lowered)


def _private_keys(text: str) -> Iterator[Finding]:
    start = text.find(KEY_BEGIN)
    while start >= 0:
        begin = PRIVATE_KEY.match(text, start)
        stop = start + len(KEY_BEGIN)
        if begin is not None:
            end = KEY_END.search(text, begin.end(), begin.end() + MAX_KEY_CHARS)
            stop = end.end() if end is not None else min(len(text), begin.end() + MAX_KEY_CHARS)
            yield Finding("secret", start, stop)
        start = text.find(KEY_BEGIN, stop)


def _passwords(text: str, lowered: str) -> Iterator[Finding]:
    for stem in STEMS:
        position = lowered.find(stem)
        while position >= 0:
            match = PASSWORD.match(lowered, position)
            if match is not None and _is_password(match["sign"], text[match.start("value") : match.end("value")]):
                yield Finding("secret", match.start("value"), match.start("value") + len(match["value"].rstrip(".:!?`*")))
                position = match.end() - 1
            position = lowered.find(stem, position + len(stem))


def _is_password(sign: str, value: str) -> bool:
    """Whether a value is one rather than code that handles it."""
    has_digit, has_letter = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    if CODE.search(value.lower()) and not (has_digit and sign[-1:] in "\"'`"):
        return False
    return has_digit or (has_letter and not value.strip("_-.").isalnum())
