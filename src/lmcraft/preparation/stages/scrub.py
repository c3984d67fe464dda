"""The stage `scrub`: redacts personal data, or removes the documents that have some."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.counting import PERSONAL_DATA, Passage
from lmcraft.privacy import scrubbing
from lmcraft.privacy.scrubbing import KINDS, Scrubber

CONTEXT_CHARS = 4096  # around a passage, in which personal data that begins or ends outside it is recognized
REASONS = {"redact": "redacted", "drop": "personal-data"}


@dataclass(frozen=True)
class Scrub:
    """Finds personal data in Chinese and English texts. Examples of all stages then show none."""

    kinds: tuple[str, ...] = ()
    """Kinds of personal data. [default: all]"""
    action: Literal["redact", "drop"] = "redact"
    """Replace values by their kind, or remove the documents that have some."""

    name: ClassVar[str] = "scrub"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = tuple(REASONS.values())

    def __post_init__(self) -> None:
        self._scrubber  # noqa: B018  # refuses impossible settings before the run

    def fingerprint(self) -> JsonObject:
        """The settings, and what recognizes personal data: our code and tables, and versions of libraries."""
        libraries = {name: version(name) for name in ("phonenumbers", "python-stdnum")}
        return {"kinds": sorted(self._scrubber.kinds), "action": self.action, "sha256": _hash_package(), **libraries}

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
        return Scrubber(self.kinds or KINDS, self.action)


def open_passage(settings: Sequence[Mapping[str, Any]]) -> Passage:
    """Passages in which the kinds of some stages are redacted.

    Args:
        settings: of stages, as the recipe has them.
    """
    kinds = [tuple(table.get("kinds", ())) for table in settings]
    scrubber = Scrubber(KINDS if () in kinds else chain.from_iterable(kinds))

    def passage(text: str, start: int, stop: int) -> str:
        begin = max(0, start - CONTEXT_CHARS)
        parts, position = [], start
        for kind, first, end in scrubber.find(text[begin : stop + CONTEXT_CHARS]):
            if begin + end > position and begin + first < stop:
                parts += [text[position : begin + first], f"[{kind.upper()}]"]
                position = begin + end
        return "".join([*parts, text[position:stop]])

    return passage


@cache
def _hash_package() -> str:
    """The sha256 of the code and the tables that recognize personal data."""
    root = Path(scrubbing.__path__[0])
    paths = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = "".join(f"{sha256_of(path)}  {path.relative_to(root).as_posix()}\n" for path in paths)
    return hashlib.sha256(names.encode()).hexdigest()
