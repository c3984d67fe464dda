"""What differs between two versions of a guideline, and which old verdicts that touches."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from lmcraft.annotation.guidelines.guideline import Guideline, Rule

ChangeKind = Literal["added", "removed", "changed"]
TouchReason = Literal["rule_changed", "rule_removed", "label_removed", "outcome_changed"]
MAX_COMPARED = 2_000  # sentences of a rule: more are shown as replaced
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])\s*(?=[^\s”’」』）])|\n")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|No|[A-Z]|\d)\.$")


class Line(NamedTuple):
    """A sentence of a difference: unchanged (" "), removed ("-") or added ("+")."""

    mark: str
    text: str


@dataclass(frozen=True)
class RuleChange:
    """A rule that is new, gone, or says something else."""

    id: str
    kind: ChangeKind
    languages: tuple[str, ...]
    """Those in which it differs."""
    lines: Mapping[str, Sequence[Line]]
    """The difference by language, sentence by sentence; the first is the title."""


@dataclass(frozen=True)
class LabelChange:
    """A label that is new, gone, or means something else."""

    name: str
    kind: ChangeKind
    before: str
    """Its outcome; empty: there was none."""
    after: str


@dataclass(frozen=True)
class GuidelineChanges:
    """Everything that matters to verdicts that differs between two versions."""

    rules: tuple[RuleChange, ...]
    labels: tuple[LabelChange, ...]

    @property
    def touching_rules(self) -> tuple[str, ...]:
        """The ids of the rules that old verdicts may cite: those that were changed or removed."""
        return tuple(change.id for change in self.rules if change.kind != "added")

    def as_json(self) -> dict[str, Any]:
        """All fields, and the rules and labels that touch verdicts."""
        return {
            "rules": [
                asdict(change)
                | {"lines": {language: [list(line) for line in lines] for language, lines in change.lines.items()}}
                for change in self.rules
            ],
            "labels": [asdict(change) for change in self.labels],
            "changed_rules": list(self.touching_rules),
        }


class CitedVerdict(Protocol):
    """A verdict as far as a guideline matters to it."""

    @property
    def label(self) -> str: ...

    @property
    def rule(self) -> str: ...

    @property
    def version(self) -> int: ...


VerdictT = TypeVar("VerdictT", bound=CitedVerdict)


def compare_guidelines(old: Guideline, new: Guideline) -> GuidelineChanges:
    """What differs between two versions.

    A rule differs if its title or text differs in a language that both versions have: a new translation changes nothing.
    """
    return GuidelineChanges(tuple(_rule_changes(old, new)), tuple(_label_changes(old, new)))


def changed_rules(old: Guideline, new: Guideline) -> tuple[str, ...]:
    """The ids of the rules that were changed or removed."""
    return compare_guidelines(old, new).touching_rules


def touched_verdicts(
    verdicts: Iterable[VerdictT], versions: Mapping[int, Guideline], current: Guideline
) -> Iterator[tuple[VerdictT, TouchReason]]:
    """Yield each verdict that a later version touches, with the reason.

    Args:
        verdicts: of one guideline; those of versions that are not among `versions` are left out.
        versions: the guideline by version.
        current: the version to compare with; a rule that was changed and changed back touches nothing.
    """
    reasons: dict[tuple[int, str, str], TouchReason | None] = {}
    for verdict in verdicts:
        if (old := versions.get(verdict.version)) is None:
            continue
        key = (verdict.version, verdict.rule, verdict.label)
        if key not in reasons:
            reasons[key] = _touch_reason(old, current, verdict.rule, verdict.label)
        if (reason := reasons[key]) is not None:
            yield verdict, reason


def format_changes(changes: GuidelineChanges, language: str) -> str:
    """The changes as lines for a terminal; empty if there are none.

    Args:
        changes: of two versions.
        language: of the rules; a rule that has no text in it is shown in another.
    """
    lines: list[str] = []
    for change in changes.rules:
        lines.append(f"rule {change.id} was {change.kind}")
        shown = change.lines.get(language) or next(iter(change.lines.values()), ())
        lines += [f"  {line.mark} {line.text}" for line in shown if line.mark != " "]
    for label in changes.labels:
        outcome = f" from {label.before} to {label.after}" if label.kind == "changed" else ""
        lines.append(f"label {label.name} was {label.kind}{outcome}")
    return "\n".join(lines)


def _touch_reason(old: Guideline, current: Guideline, rule_id: str, label: str) -> TouchReason | None:
    before, after = old.rule(rule_id), current.rule(rule_id)
    if after is None:
        return "rule_removed"
    if before is not None and _changed_languages(before, after):
        return "rule_changed"
    old_label, new_label = old.label(label), current.label(label)
    if new_label is None:
        return "label_removed"
    return "outcome_changed" if old_label is not None and old_label.outcome != new_label.outcome else None


def _rule_changes(old: Guideline, new: Guideline) -> Iterator[RuleChange]:
    for rule in new.rules:
        if (before := old.rule(rule.id)) is None:
            yield RuleChange(rule.id, "added", tuple(rule.text), _differences(None, rule, tuple(rule.text)))
        elif languages := _changed_languages(before, rule):
            yield RuleChange(rule.id, "changed", languages, _differences(before, rule, languages))
    for rule in old.rules:
        if new.rule(rule.id) is None:
            yield RuleChange(rule.id, "removed", tuple(rule.text), _differences(rule, None, tuple(rule.text)))


def _label_changes(old: Guideline, new: Guideline) -> Iterator[LabelChange]:
    for label in new.labels:
        if (before := old.label(label.name)) is None:
            yield LabelChange(label.name, "added", "", label.outcome)
        elif before.outcome != label.outcome:
            yield LabelChange(label.name, "changed", before.outcome, label.outcome)
    for label in old.labels:
        if new.label(label.name) is None:
            yield LabelChange(label.name, "removed", label.outcome, "")


def _changed_languages(before: Rule, after: Rule) -> tuple[str, ...]:
    return tuple(language for language, sha256 in after.sha256.items() if before.sha256.get(language, sha256) != sha256)


def _differences(before: Rule | None, after: Rule | None, languages: Sequence[str]) -> dict[str, Sequence[Line]]:
    return {language: list(_compare(_sentences(before, language), _sentences(after, language))) for language in languages}


def _sentences(rule: Rule | None, language: str) -> list[str]:
    """The title and the sentences of a rule; none if there is no such rule."""
    if rule is None:
        return []
    sentences: list[str] = [rule.title[language]]
    for part in filter(None, (part.strip() for part in _SENTENCE.split(rule.text[language]))):
        if len(sentences) > 1 and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += f" {part}"
        else:
            sentences.append(part)
    return sentences


def _compare(old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    if max(len(old), len(new)) > MAX_COMPARED:
        yield from (Line("-", text) for text in old)
        yield from (Line("+", text) for text in new)
        return
    for name, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if name == "equal":
            yield from (Line(" ", text) for text in old[start:end])
        else:
            yield from (Line("-", text) for text in old[start:end])
            yield from (Line("+", text) for text in new[new_start:new_end])
