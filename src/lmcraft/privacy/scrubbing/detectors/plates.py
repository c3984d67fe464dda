"""License plates: Chinese ones by their shape, others next to the word."""

import re
from collections.abc import Iterator

from lmcraft.privacy.scrubbing.kinds import Finding

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
CHINESE = re.compile(
    rf"[{PROVINCES}][A-HJ-NP-Z][ ·•.・-]?(?:(?=[A-Z]{{0,5}}[0-9])[A-HJ-NP-Z0-9]{{5,6}}|"
    rf"(?=[A-Z]{{0,3}}[0-9])[A-HJ-NP-Z0-9]{{4}}[挂学警港澳领使])(?![A-Za-z0-9])"
)
WORDS = re.compile(
    r"(?:plate|registration|tag)s?(?: (?:number|no\.?|#))?(?: (?:is|was|reads|reading|"
    r"of))?[\s:：\"'(#]{1,3}(?P<value>(?=[A-Z0-9 -]*[0-9])[A-Z0-9]{1,4}(?:[ -]?[A-Z0-9]{1,4}){1,2})(?![A-Za-z0-9])"
)
STEMS = ("plate", "registration")


def find_chinese_plates(text: str) -> Iterator[Finding]:
    """Chinese license plates."""
    for match in CHINESE.finditer(text):
        yield Finding("plate", *match.span())


def find_plates(text: str) -> Iterator[Finding]:
    """License plates of other countries, next to the word."""
    for stem in STEMS:
        position = text.find(stem)
        while position >= 0:
            announced = WORDS.match(text, position)
            if announced is not None:
                yield Finding("plate", *announced.span("value"))
            position = text.find(stem, position + len(stem))
