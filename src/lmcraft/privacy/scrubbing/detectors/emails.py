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
SPELLED_AT = re.compile(r"[\[({<] ?(?:at|AT|At|@) ?[\])}>] ?")
SPELLED_DOMAIN = re.compile(
    rf"[{LETTERS}-]{{1,63}}(?:(?:\.| ?[\[({{<] ?(?:dot|DOT|Dot|\.) ?[\])}}>] ?| dot )[{LETTERS}-]{{1,63}}){{1,4}}"
)
SPELLED_DOT = re.compile(r" ?[\[({<] ?(?:dot|DOT|Dot|\.) ?[\])}>] ?| dot ")
TOP_LEVEL = frozenset(read_words("top-level-domains.txt"))
EDGES = ".%&'-"


def find_emails(text: str) -> Iterator[Finding]:
    """E-mail addresses, "[at]" and "(dot)" written out, too."""
    at, last = text.find("@"), 0
    while at >= 0:
        stop = _domain_end(text, at + 1)
        start = None if stop is None else _local_start(text, last, at)
        if start is not None and stop is not None:
            last = stop
            yield Finding("email", start, stop)
        at = text.find("@", at + 1)
    for match in SPELLED_AT.finditer(text):
        domain = SPELLED_DOMAIN.match(text, match.end())
        at = match.start() - (text[match.start() - 1 : match.start()] == " ")
        start = None if domain is None else _local_start(text, 0, at)
        if start is not None and domain is not None and _is_top_level(re.split(r"[.\s\])}>]+", domain[0])[-1]):
            yield Finding("email", start, domain.end())


def _local_start(text: str, first: int, at: int) -> int | None:
    """Where the part before the @ starts; None if there is none."""
    local = LOCAL_END.search(text, max(first, at - MAX_LOCAL_CHARS), at)
    if local is None or local[0].endswith("."):
        return None
    size = len(local[0].lstrip(EDGES))
    return at - size if size else None


def _domain_end(text: str, start: int) -> int | None:
    """The end of the domain that starts at a position; None if there is none."""
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
