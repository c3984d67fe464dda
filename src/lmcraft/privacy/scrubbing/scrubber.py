"""The scrubber: finds personal data, and redacts, pseudonymizes or drops it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.privacy.scrubbing.finder import find_personal_data
from lmcraft.privacy.scrubbing.kinds import KINDS, Finding

Action = Literal["redact", "pseudonymize", "drop"]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without personal data."""

    text: str
    """Empty if the text is dropped."""
    findings: tuple[Finding, ...]
    """What was found, as passages of the text as it was."""
    is_dropped: bool = False


class Scrubber:
    """Finds personal data in Chinese and English texts, and removes or replaces it. Threads may share it; it pickles.

    Args:
        kinds: the kinds of `KINDS` to look for; all by default.
        action: "redact" replaces a passage with its kind, such as [EMAIL]; "drop" gives up a text that has a finding.
        key: for "pseudonymize".

    Raises:
        UserError: there is no such kind, or the extra `privacy` is not installed.
    """

    def __init__(self, kinds: Iterable[str] = tuple(KINDS), action: Action = "redact", key: bytes | None = None) -> None:
        self.kinds = frozenset(kinds)
        for kind in sorted(self.kinds - KINDS.keys()):
            raise UserError(f"there is no kind of personal data '{kind}': choose from {', '.join(KINDS)}")
        self.action = action
        for package in ("stdnum", "phonenumbers"):
            import_optional(package, "privacy", "scrubbing")

    def find(self, text: str) -> list[Finding]:
        """The personal data in a text, by position."""
        return find_personal_data(text, self.kinds)

    def scrub(self, text: str) -> Scrubbed:
        """A text without its personal data."""
        findings = tuple(self.find(text))
        if not findings:
            return Scrubbed(text, findings)
        if self.action == "drop":
            return Scrubbed("", findings, is_dropped=True)
        parts, end = [], 0
        for kind, start, stop in findings:
            parts += [text[end:start], f"[{kind.upper()}]"]
            end = stop
        return Scrubbed("".join([*parts, text[end:]]), findings)
