"""The stage `scrub`: redacts or pseudonymizes personal data, or removes the documents that have some."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.counting import PERSONAL_DATA, Passage
from lmcraft.privacy.scrubbing import Scrubber
from lmcraft.setting_values import expand_user

CONTEXT_CHARS = 4096  # around a passage, in which personal data that begins or ends outside it is recognized
REASONS = {"redact": "redacted", "pseudonymize": "pseudonymized", "drop": "personal-data"}


@dataclass(frozen=True)
class Scrub:
    """Finds personal data in Chinese and English texts. Examples of all stages then show none."""

    kinds: tuple[str, ...] = ()
    """Kinds of personal data. [default: all]"""
    action: Literal["redact", "pseudonymize", "drop"] = "redact"
    """Replace values by their kind, or by pseudonyms; or remove the documents that have some."""
    key_file: Path | None = None
    """Key of the pseudonyms, which all workers read."""

    name: ClassVar[str] = "scrub"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = tuple(REASONS.values())

    def __post_init__(self) -> None:
        self._scrubber  # noqa: B018  # refuses impossible settings before the run

    def fingerprint(self) -> JsonObject:
        """The settings, versions of tables and libraries, and a hash that tells keys apart."""
        return self._scrubber.fingerprint()

    def judge(self, record: Record) -> Verdict:
        """The text without personal data, and how many values of each kind it had."""
        scrubbed = self._scrubber.scrub(record.text)
        if not scrubbed.findings:
            return KEEP
        first = scrubbed.findings[0]
        return Verdict(
            REASONS[self.action],
            text=None if scrubbed.is_dropped else scrubbed.text,
            evidence=record.text[first.start : first.stop],
            notes={PERSONAL_DATA: Counter(finding.kind for finding in scrubbed.findings)},
        )

    @cached_property
    def _scrubber(self) -> Scrubber:
        key = None if self.key_file is None else read_key(expand_user(self.key_file))
        return Scrubber(**({"kinds": self.kinds} if self.kinds else {}), action=self.action, key=key)


def open_passage(settings: Sequence[Mapping[str, Any]]) -> Passage:
    """Passages in which the kinds of some stages are redacted.

    Args:
        settings: of stages, as the recipe has them.
    """
    kinds = [tuple(table.get("kinds", ())) for table in settings]
    scrubber = Scrubber() if () in kinds else Scrubber(kinds=tuple(dict.fromkeys(chain.from_iterable(kinds))))

    def passage(text: str, start: int, stop: int) -> str:
        begin = max(0, start - CONTEXT_CHARS)
        parts, position = [], start
        for kind, first, end in scrubber.find(text[begin : stop + CONTEXT_CHARS]):
            if begin + end > position and begin + first < stop:
                parts += [text[position : begin + first], f"[{kind.upper()}]"]
                position = begin + end
        return "".join([*parts, text[position:stop]])

    return passage
