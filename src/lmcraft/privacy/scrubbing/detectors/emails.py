"""E-mail addresses: what stands around each @."""

import re
from collections.abc import Iterator

from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.tables import read_words

LETTERS = "A-Za-z0-9\u00c0-\u024f\u0370-\u052f"
MAX_LOCAL_CHARS, MAX_DOMAIN_CHARS = 64, 253
LOCAL_END = re.compile(rf"[{LETTERS}.%&'+_-]+\Z")
DOMAIN = re.compile(rf"[{LETTERS}.-]{{1,{MAX_DOMAIN_CHARS}}}+")
LABEL = re.compile(rf"[{LETTERS}](?:[{LETTERS}-]*[{LETTERS}])?")
AT = re.compile(r"@|[ ]?[\[({<][ ]?(?:at|AT|At|@)[ ]?[\])}>][ ]?")
SPELLED_DOMAIN = re.compile(
    rf"[{LETTERS}-]{{1,63}}(?:(?:\.| ?[\[({{<] ?(?:dot|DOT|Dot|\.) ?[\])}}>] ?| dot )[{LETTERS}-]{{1,63}}){{1,4}}"
)
SPELLED_DOT = re.compile(r" ?[\[({<] ?(?:dot|DOT|Dot|\.) ?[\])}>] ?| dot ")
TOP_LEVEL = frozenset(read_words("top-level-domains.txt"))
EDGES = ".%&'-"


def find_emails(text: str) -> Iterator[Finding]:
    """E-mail addresses, "[at]" and "(dot)" written out, too."""
    if "@" not in text and "[" not in text and "(" not in text and "{" not in text and "<" not in text:
        return
    last = 0
    for at in AT.finditer(text):
        local = LOCAL_END.search(text, max(last, at.start() - MAX_LOCAL_CHARS), at.start())
        if local is None:
            continue
        start = at.start() - len(local[0].lstrip(EDGES))
        stop = _domain_end(text, at.end(), at[0] != "@")
        if stop is not None and start < at.start() and text[at.start() - 1] != ".":
            last = stop
            yield Finding("email", start, stop)


def _domain_end(text: str, start: int, is_spelled: bool) -> int | None:
    """The end of the domain that starts at a position; None if there is none."""
    if is_spelled:
        match = SPELLED_DOMAIN.match(text, start)
        if match is None or not _is_top_level(re.split(r"[.\s\])}>]+", match[0])[-1]):
            return None
        return match.end()
    match = DOMAIN.match(text, start)
    if match is None:
        return None
    labels, stop, end = match[0].split("."), start - 1, None
    for number, label in enumerate(labels):
        part = LABEL.match(label)
        if part is None:
            break
        if number and _is_top_level(part[0]):
            end = stop + 1 + len(part[0])
            if number + 1 < len(labels) and labels[number + 1][:1].isupper() and not label[:1].isupper():
                break  # the next sentence
        if len(part[0]) != len(label):
            break
        stop += 1 + len(label)
    return end


def _is_top_level(label: str) -> bool:
    return (len(label) == 2 and label.isascii() and label.isalpha()) or label.lower() in TOP_LEVEL
