"""Numbers: runs of digits, and which of them identify a person, an account or a phone.

A run is cut at spaces, hyphens, dots and brackets into groups of digits. Each group is tried as the start of each kind of
number, and every pattern has a bounded length, so the time is linear in the text.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lmcraft.privacy.scrubbing.detectors.banking import match_account, match_card
from lmcraft.privacy.scrubbing.detectors.dates import match_birth_date
from lmcraft.privacy.scrubbing.detectors.identity import match_resident_id, match_ssn
from lmcraft.privacy.scrubbing.detectors.national_ids import match_national_id
from lmcraft.privacy.scrubbing.detectors.phones import match_phone
from lmcraft.privacy.scrubbing.kinds import Finding

RUN = re.compile(r"[0-9](?:[ \-.()（）/年月]{0,3}[0-9]){4,}")
GROUP = re.compile(r"[0-9]+")
BREAKS = frozenset(" /()（）")
"""A number may start after one of these within a run; after "-" or "." it is the middle of a longer one."""


class Matcher(NamedTuple):
    """A kind of number, and the function that finds the passage of one that starts at a position."""

    kind: str
    match: Callable[[str, int], tuple[int, int] | None]


MATCHERS = (
    Matcher("resident_id", match_resident_id),
    Matcher("ssn", match_ssn),
    Matcher("bank_card", match_card),
    Matcher("national_id", match_national_id),
    Matcher("birth_date", match_birth_date),
    Matcher("bank_account", match_account),
    Matcher("phone", match_phone),
)


def find_numbers(text: str, kinds: frozenset[str]) -> Iterator[Finding]:
    """Numbers of these kinds."""
    matchers = [matcher for matcher in MATCHERS if matcher.kind in kinds]
    if not matchers:
        return
    for run in RUN.finditer(text):
        if _is_inside_word(text, run.start()):
            continue
        last = 0
        for group in GROUP.finditer(text, run.start(), run.end()):
            start = group.start()
            if start < last or (start > run.start() and text[start - 1] not in BREAKS):
                continue
            finding = _match_any(text, start, matchers)
            if finding is not None:
                last = finding.stop
                yield finding


def _match_any(text: str, start: int, matchers: Sequence[Matcher]) -> Finding | None:
    for matcher in matchers:
        passage = matcher.match(text, start)
        if passage is not None:
            return Finding(matcher.kind, *passage)
    return None


def _is_inside_word(text: str, start: int) -> bool:
    """Whether a letter, or a sign that joins numbers, stands before the first digit."""
    before = text[start - 1 : start]
    return before.isascii() and (before.isalnum() or before == "_")
