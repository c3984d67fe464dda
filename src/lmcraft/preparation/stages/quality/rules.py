"""The rules of a profile: a measure, a threshold, and where the threshold is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import inf
from pathlib import Path
from typing import Any

from lmcraft.config import read_toml
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import Verdict
from lmcraft.preparation.stages.catalog import suggest
from lmcraft.preparation.stages.quality.lines import LineRules
from lmcraft.preparation.stages.quality.measures import MEASURES, Measure
from lmcraft.preparation.stages.quality.repetition import Repetition, repeated_text
from lmcraft.setting_values import convert_value, field_types

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Removes the documents whose measure is above, or below, a threshold."""

    reason: str
    measure: str
    """A function of `measures.py` or `repetition.py`."""
    above: float | None = None
    below: float | None = None
    tokens: int = 0
    """Length of the runs that `top_run` and `repeated_runs` compare."""
    joints: int = 0
    """Spaces that `top_run` counts in a run."""
    words: tuple[str, ...] = ()
    """What `stop_words` and `phrases` look for."""
    source: str
    """Publication or file that has the threshold."""

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise UserError(f"there is no measure {self.measure!r}: {suggest(self.measure, MEASURES)}")
        if (self.above is None) == (self.below is None):
            raise UserError("there is no threshold, or two: set one of above and below")

    @cached_property
    def threshold(self) -> float:
        """The threshold, above or below which a document is removed."""
        return self.above if self.above is not None else self.below or 0.0

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value of documents that stay."""
        return (self.below if self.below is not None else -inf, self.above if self.above is not None else inf)

    @cached_property
    def function(self) -> Measure:
        """The measure."""
        return MEASURES[self.measure]

    @cached_property
    def exact(self) -> "Rule":
        """The same rule with a threshold that every measure exceeds, so that measures are computed to the end."""
        return replace(self, above=0.0) if self.above is not None else replace(self, below=inf)

    def with_threshold(self, threshold: float) -> "Rule":
        """The same rule with another threshold."""
        return replace(self, above=threshold) if self.above is not None else replace(self, below=threshold)


def first_failure(rules: Sequence[Rule], statistics: Repetition) -> Verdict | None:
    """The verdict of the first rule that removes the document."""
    for rule in rules:
        least, greatest = rule.bounds
        if not least <= (value := rule.function(statistics, rule)) <= greatest:
            evidence = repeated_text(rule.measure, statistics, rule)
            return Verdict(rule.reason, value=value, threshold=rule.threshold, evidence=evidence)
    return None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The rules for one kind of text: in order, and what is cut from the text after the first `rules`."""

    name: str
    rule: tuple[Rule, ...] = ()
    lines: LineRules | None = None
    """Cuts lines, after the rules above."""
    rule_after_lines: tuple[Rule, ...] = ()
    """Judge the text without these lines."""
    characters_per_word: float = 1.0
    """How many Chinese, Japanese or Korean characters count as a word."""
    joined_words: bool = True
    """Whether "don't", "3.14" and "os.path" are one word each, as spaCy cuts English."""

    @property
    def reasons(self) -> list[str]:
        """The reasons of its rules, in order."""
        lines = self.lines.reasons if self.lines else []
        return [*(rule.reason for rule in self.rule), *lines, *(rule.reason for rule in self.rule_after_lines)]

    def measure(self, text: str) -> Repetition:
        """What the rules measure of a text."""
        return Repetition(text, self.characters_per_word, joined=self.joined_words)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "Profile":
        """The profile with other thresholds, by reason; a reason that it lacks changes nothing."""

        def changed(rules: Sequence[Rule]) -> tuple[Rule, ...]:
            return tuple(
                rule.with_threshold(thresholds[rule.reason]) if rule.reason in thresholds else rule for rule in rules
            )

        return replace(self, rule=changed(self.rule), rule_after_lines=changed(self.rule_after_lines))


@cache
def profile_names() -> list[str]:
    """The profiles that lmcraft brings."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def read_profile(source: str) -> Profile:
    """A profile by its name, or from a TOML file in the same form.

    Raises:
        UserError: it does not exist, or has an unknown or invalid setting.
    """
    if source in profile_names():
        return _own_profile(source)
    if not source.endswith(".toml"):
        raise UserError(
            f"rules {source!r} are not known: use auto, {', '.join(profile_names())}, or the path of a TOML file"
        )
    return _profile_of(source, Path(source).expanduser())


@cache
def _own_profile(name: str) -> Profile:
    return _profile_of(name, PROFILES / f"{name}.toml")


def _profile_of(name: str, path: Path) -> Profile:
    values = read_toml(path)
    profile = {"name": name, **values}
    for key in ("rule", "rule_after_lines"):
        rows = values.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{path}: {key} is not a list of tables: write [[{key}]] above each")
        profile[key] = tuple(_build(Rule, row, f"{path}: rule {row.get('reason')!r}") for row in rows)
    if not isinstance(values.get("lines", {}), dict):
        raise UserError(f"{path}: lines is not a table: write [lines] above its settings")
    if "lines" in values:
        profile["lines"] = _build(LineRules, values["lines"], f"{path}: lines")
    result: Profile = _build(Profile, profile, str(path), checked=("rule", "rule_after_lines", "lines"))
    return result


def _build(cls: Any, values: Mapping[str, Any], where: str, checked: Sequence[str] = ()) -> Any:
    types = field_types(cls)
    for name in values:
        if name not in types:
            raise UserError(f"{where}: there is no setting {name!r}: {suggest(name, types)}")
    missing = [name for name in ("reason", "measure", "source") if name in types and name not in values]
    if missing:
        raise UserError(f"{where} lacks {missing[0]!r}: add it")
    converted = {
        name: value if name in checked else convert_value(types[name], value, f"{where}: {name}")
        for name, value in values.items()
    }
    try:
        return cls(**converted)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
