"""The stage `quality`: removes what the rules of its language and kind of source do not take for good text."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import KEEP, JsonObject, Measurement, Record, Verdict
from lmcraft.preparation.stages.catalog import suggest
from lmcraft.preparation.stages.quality.phrases import FOLDER as PHRASES
from lmcraft.preparation.stages.quality.rules import PROFILES, Profile, first_failure, profile_names, read_profile
from lmcraft.preparation.stages.scripts import script_language

BY_LANGUAGE = ("web", "prose")  # kinds with a profile for each of LANGUAGES, and one for the others
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Quality:
    """Removes documents by rules of Gopher, C4, FineWeb and FineWeb-2, and cuts boilerplate lines from web pages."""

    rules: str = "auto"
    """Rules: auto (by the kind of source and the language), the name of a profile, such as web.en, or a TOML file."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Other thresholds, by reason, such as { duplicate_lines = 0.5 }."""

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for reason, threshold in self.thresholds.items():
            if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold < inf:
                raise UserError(f"thresholds: {reason}={threshold!r} is not a number from 0 on")
        reasons = dict.fromkeys(self.reasons)
        for reason in self.thresholds:
            if reason not in reasons:
                raise UserError(f"thresholds: no rule has the reason {reason!r}: {suggest(reason, reasons)}")

    @property
    def reasons(self) -> Sequence[str]:
        """The reasons of all rules."""
        return list(dict.fromkeys(reason for profile in self._profiles.values() for reason in profile.reasons))

    def fingerprint(self) -> JsonObject:
        """The settings, and the contents of the rules and lists of phrases."""
        paths = [
            PROFILES / f"{name}.toml" if name in profile_names() else Path(name).expanduser() for name in self._profiles
        ]
        hashes = {name: _sha256(path) for name, path in zip(self._profiles, paths, strict=True)}
        phrases = {path.stem: _sha256(path) for path in sorted(PHRASES.glob("*.toml"))}
        return {"rules": self.rules, "thresholds": dict(self.thresholds), "profiles": hashes, "phrases": phrases}

    def judge(self, record: Record) -> Verdict:
        """The first rule that the document fails; else its text without boilerplate lines."""
        profile = self._profiles[self._profile_name(record)]
        statistics = profile.measure(record.text)
        if record.words is None:
            record.words = statistics.words
        if verdict := first_failure(profile.rule, statistics):
            return verdict
        verdict = profile.lines.judge(record.text) if profile.lines else KEEP
        if verdict.reason and verdict.text is None:
            return verdict
        if profile.rule_after_lines:
            rest = statistics if verdict.text is None else profile.measure(verdict.text)
            return first_failure(profile.rule_after_lines, rest) or verdict
        return verdict

    def measures(self, record: Record) -> Iterator[Measurement]:
        """What the rules measure of the whole text, to the end, whatever the thresholds."""
        profile = self._profiles[self._profile_name(record)]
        statistics = profile.measure(record.text)
        for rule in profile.rule:
            yield Measurement(profile.name, rule.reason, rule.exact.function(statistics, rule.exact), rule.threshold)

    def _profile_name(self, record: Record) -> str:
        if self.rules != "auto":
            return self.rules
        kind = record.notes.get("kind", "prose")
        if kind not in BY_LANGUAGE:
            return kind if kind in self._profiles else "prose.other"
        language = record.language or script_language(record.text)
        return f"{kind}.{language if language in LANGUAGES else 'other'}"

    @cached_property
    def _profiles(self) -> dict[str, Profile]:
        names = profile_names() if self.rules == "auto" else [self.rules]
        return {name: read_profile(name).with_thresholds(self.thresholds) for name in names}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
