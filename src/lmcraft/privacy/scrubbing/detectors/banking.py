"""Cards by Luhn's checksum, IBANs by theirs (ISO 13616), account numbers next to the word."""

import re

from lmcraft.privacy.scrubbing.checksums import has_checksum
from lmcraft.privacy.scrubbing.detectors.cues import Cues, has_word
from lmcraft.privacy.scrubbing.detectors.identity import NOT_IN_NUMBER

CARD = re.compile(
    rf"(?:[0-9]{{4}}([ -])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{1,4}}(?:\1[0-9]{{1,3}})?|"
    rf"[0-9]{{4}}([ -])[0-9]{{6}}\2[0-9]{{4,5}}|[0-9]{{12,19}}){NOT_IN_NUMBER}"
)
CARD_START = re.compile(r"4|5[0-8]|2[2-7]|3[0-9]|6[0-9]|9[0-9]|1[0-9]")
CARD_WORDS = re.compile(r"card|visa|master|amex|credit|debit|银行|卡号|信用卡|储蓄卡|借记卡|尾号|银联|卡|pay")
ACCOUNT_CUES = Cues(
    [
        r"\b(?:bank |checking |savings |current )?(?:account|acct|a/c)(?: ?(?:no\.?|num(?:ber)?s?|#))?",
        r"\brouting(?: ?(?:no\.?|num(?:ber)?))?",
        r"\bsort code",
        "银行账号",
        "银行账户",
        "账号",
        "帐号",
        "账户",
        "银行卡号?",
        "卡号",
        "开户行.{0,12}",
    ],
    "account accounts acct a c routing sort 账 帐 卡 户",
)
ACCOUNT = re.compile(rf"[0-9]{{3,}}(?:[ -][0-9]{{2,6}}){{0,5}}{NOT_IN_NUMBER}")
SORT_CODE = re.compile(rf"[0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}{NOT_IN_NUMBER}")
IBAN = re.compile(
    r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]{4}){2,7}(?:[ -]?[0-9A-Za-z]{1,3})?(?![0-9A-Za-z])"
)
MIN_IBAN_CHARS = 15


def match_card(text: str, start: int) -> tuple[int, int] | None:
    """A card number of 12 to 19 digits, alone or in groups, by Luhn's checksum (ISO/IEC 7812)."""
    match = CARD.match(text, start)
    if match is None:
        return None
    digits = re.sub("[ -]", "", match[0])
    if len(set(digits)) < 2 or not has_checksum("luhn", digits):
        return None
    is_usual = (len(digits) >= 14 and digits[0] in "3456") or digits.startswith(("2221", "2720", "622"))
    return match.span() if is_usual or has_word(CARD_WORDS, text, start) else None


def match_account(text: str, start: int) -> tuple[int, int] | None:
    """An account number that a word announces."""
    match = SORT_CODE.match(text, start) or ACCOUNT.match(text, start)
    if match is None or not 6 <= sum(map(str.isdigit, match[0])) <= 22:
        return None
    return match.span() if ACCOUNT_CUES.announce(text, start) else None


def match_iban(text: str, start: int) -> tuple[int, int] | None:
    """An IBAN, in groups or not, that starts at a position."""
    match = IBAN.match(text, start)
    stop = None if match is None else _iban_end(text, start, match.end())
    return None if stop is None else (start, stop)


def _iban_end(text: str, start: int, stop: int) -> int | None:
    """The end of the IBAN that starts a passage, which may go on with a word in four letters."""
    while stop - start >= MIN_IBAN_CHARS:
        if has_checksum("iban", text[start:stop]):
            return stop
        stop = max(text.rfind(" ", start, stop), text.rfind("-", start, stop))
    return None
