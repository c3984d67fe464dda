"""Identity numbers: Chinese resident identity numbers, US social security numbers."""

import re
from datetime import date

from lmcraft.privacy.scrubbing.checksums import has_checksum
from lmcraft.privacy.scrubbing.detectors.cues import Cues, has_word

NOT_IN_NUMBER = r"(?![0-9A-Za-z_])(?![-.][0-9])"
RESIDENT_ID = re.compile(
    rf"([1-9][0-9]{{5}})[ -]?((?:18|19|"
    rf"20)[0-9]{{2}})[ -]?([0-9]{{2}})[ -]?([0-9]{{2}})[ -]?([0-9]{{3}}[0-9Xx]){NOT_IN_NUMBER}"
)
OLD_RESIDENT_ID = re.compile(rf"[1-9][0-9]{{5}}([0-9]{{2}})([0-9]{{2}})([0-9]{{2}})[0-9]{{3}}{NOT_IN_NUMBER}")
RESIDENT_ID_SHAPE = re.compile(rf"[0-9]{{17}}[0-9Xx]{NOT_IN_NUMBER}")
SSN = re.compile(rf"(?!000|666|9)[0-9]{{3}}([- .])(?!00)[0-9]{{2}}\1(?!0000)[0-9]{{4}}{NOT_IN_NUMBER}")
ITIN = re.compile(rf"9[0-9]{{2}}-[5-9][0-9]-[0-9]{{4}}{NOT_IN_NUMBER}")
PLAIN_SSN = re.compile(rf"(?!000|666|9)[0-9]{{3}}(?!00)[0-9]{{2}}(?!0000)[0-9]{{4}}{NOT_IN_NUMBER}")
SSN_CUES = Cues(
    [r"(?:social security|soc\.? sec\.?|\bss)(?: ?(?:no\.?|num(?:ber)?|#))?", r"\bssns?", r"\bitin", "社会安全号", "社安号"],
    "social soc ss ssn ssns itin 社",
)
RESIDENT_CUES = re.compile(
    "身份证|证件号|证件号码|公民身份|身分证|户口|resident id|id card|identity card|id number|citizen id"
)


def match_resident_id(text: str, start: int) -> tuple[int, int] | None:
    """A Chinese resident identity number: 18 characters by its checksum (ISO 7064 MOD 11-2, GB 11643), or next to the word.

    Numbers of 15 digits, issued until 1999, have no checksum, so they need the word.
    """
    match = RESIDENT_ID.match(text, start)
    if match is not None and _is_date(match[2], match[3], match[4]):
        number = "".join(match.groups()).upper()
        if has_checksum("iso7064.mod_11_2", number) or has_word(RESIDENT_CUES, text, start):
            return match.span()
    match = OLD_RESIDENT_ID.match(text, start)
    if match is not None and _is_date("19" + match[1], match[2], match[3]) and has_word(RESIDENT_CUES, text, start):
        return match.span()
    match = RESIDENT_ID_SHAPE.match(text, start)
    return match.span() if match is not None and has_word(RESIDENT_CUES, text, start) else None


def match_ssn(text: str, start: int) -> tuple[int, int] | None:
    """A US social security number, in three groups; without separators only next to the word."""
    match = SSN.match(text, start)
    if match is not None and (match[1] == "-" or SSN_CUES.announce(text, start)):
        return match.span()
    match = ITIN.match(text, start)
    if match is not None:
        return match.span()
    match = PLAIN_SSN.match(text, start)
    return match.span() if match is not None and SSN_CUES.announce(text, start) else None


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        return date(int(year), int(month), int(day)) <= date.today()
    except ValueError:
        return False
