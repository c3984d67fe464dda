"""The scrubber: finds personal data, and redacts, pseudonymizes or drops it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.privacy.scrubbing.finder import find_personal_data
from lmcraft.privacy.scrubbing.kinds import KINDS, Finding
from lmcraft.privacy.scrubbing.pseudonyms import Pseudonymizer

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
        key: the 32 bytes of "pseudonymize", which replaces a passage with a pseudonym of its kind, the same everywhere.

    Raises:
        UserError: there is no such kind or action, the key is missing, or the extra `privacy` is not installed.
    """

    def __init__(self, kinds: Iterable[str] = tuple(KINDS), action: Action = "redact", key: bytes | None = None) -> None:
        self.kinds = frozenset(kinds)
        for kind in sorted(self.kinds - KINDS.keys()):
            raise UserError(f"there is no kind of personal data '{kind}': choose from {', '.join(KINDS)}")
        if action not in get_args(Action):
            raise UserError(f"action='{action}' is unknown: choose from {', '.join(get_args(Action))}")
        if (action == "pseudonymize") != (key is not None):
            raise UserError("a key and action='pseudonymize' need each other: create_key_file(path) makes a key")
        self.action = action
        self._pseudonymizer = None if key is None else Pseudonymizer(key)
        self._key = key
        for package in ("stdnum", "phonenumbers"):
            import_optional(package, "privacy", "scrubbing")

    def __reduce__(self) -> tuple[type["Scrubber"], tuple[object, ...]]:
        return Scrubber, (tuple(sorted(self.kinds)), self.action, self._key)

    def find(self, text: str) -> list[Finding]:
        """The personal data in a text, by position."""
        return find_personal_data(text, self.kinds)

    def scrub(self, text: str) -> Scrubbed:
        """A text without its personal data."""
        findings = tuple(self.find(text))
        if not findings and self._pseudonymizer is None:
            return Scrubbed(text, findings)
        if self.action == "drop":
            return Scrubbed("", findings, is_dropped=True)
        if self._pseudonymizer is not None:
            return Scrubbed(self._pseudonymizer.replace(text, findings), findings)
        parts, end = [], 0
        for kind, start, stop in findings:
            parts += [text[end:start], f"[{kind.upper()}]"]
            end = stop
        return Scrubbed("".join([*parts, text[end:]]), findings)

    def restore(self, text: str) -> str:
        """A pseudonymized text as it was.

        Raises:
            UserError: the scrubber has no key.
        """
        if self._pseudonymizer is None:
            raise UserError("a text can be restored only with the key of its pseudonyms: Scrubber(..., key=key)")
        return self._pseudonymizer.restore(text)
