"""The policy: which tiers judge, from which score a category counts, and what happens then at each stage. A TOML file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from lmcraft.config import read_toml
from lmcraft.errors import UserError
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.decision import STAGES, Action, Decision, Finding, Stage
from lmcraft.setting_values import convert_value, field_types

DEFAULT = "default"
ACTIONS = tuple(str(action) for action in Action)


@dataclass(frozen=True, kw_only=True)
class Tiers:
    """What judges a text, cheap first. A tier that is not named does not run."""

    lexicons: tuple[str, ...] = ()
    """Lists of words: "en" and "zh" of lmcraft, or files."""
    classifier: str = ""
    """"default", a file of `lmcraft guard train`, or the folder of a classifier that `lmcraft finetune` trained."""
    labels: dict[str, str] = field(default_factory=dict)
    """Categories of the labels of a fine-tuned classifier. Labels with the name of a category need no entry."""
    model: str = ""
    """Folder or address of a guard model with Qwen3Guard's prompt and labels."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at one stage to a text with a category."""

    action: Action
    threshold: float


@dataclass(frozen=True)
class Policy:
    """A policy as read from a file."""

    name: str
    version: str
    tiers: Tiers
    rules: Mapping[str, Mapping[Stage, Rule]]
    """By category and stage. Categories that the file leaves out are allowed."""
    refusal: Mapping[str, str]
    """What a client reads instead of a refused text, by language."""
    folder: Path
    """What relative paths start from."""

    @cached_property
    def identity(self) -> str:
        """Name, version, and a hash of everything the policy says; each decision record has it."""
        rules = {
            category: {stage: (str(rule.action), rule.threshold) for stage, rule in stages.items()}
            for category, stages in self.rules.items()
        }
        tiers = {name: getattr(self.tiers, name) for name in field_types(Tiers)}
        contents = json.dumps([self.name, self.version, tiers, rules, dict(self.refusal)], sort_keys=True)
        return f"{self.name} {self.version} ({hashlib.sha256(contents.encode()).hexdigest()[:12]})"

    def refusal_text(self, language: str = "en") -> str:
        """What a client reads instead of a refused text; in the first language of the policy if it lacks this one."""
        return self.refusal.get(language) or next(iter(self.refusal.values()))

    def decide(self, stage: Stage, findings: Sequence[Finding], tiers: Sequence[str]) -> Decision:
        """The strictest action of all findings at or above the threshold of their category at this stage.

        Args:
            stage: where the text stands.
            findings: what the tiers reported.
            tiers: the names of the tiers that judged.
        """
        scores: dict[str, float] = {}
        for finding in findings:
            scores[finding.category] = max(scores.get(finding.category, 0.0), finding.score)
        counted = [finding for finding in findings if self._counts(finding, stage)]
        action = max((self._action(finding, stage) for finding in counted), default=Action.ALLOW)
        strictness = {id(finding): self._action(finding, stage) for finding in counted}
        ordered = sorted(findings, key=lambda finding: (-strictness.get(id(finding), -1), -finding.score))
        return Decision(
            stage=stage,
            action=action,
            scores=scores,
            findings=ordered,
            categories=list(dict.fromkeys(finding.category for finding in ordered if finding in counted)),
            reason=self._reason(action, stage, ordered),
            policy=self.identity,
            tiers=tiers,
        )

    def fail(self, stage: Stage, reason: str) -> Decision:
        """The decision about a text that could not be judged: it is refused.

        Args:
            stage: where the text stands.
            reason: one sentence.
        """
        return Decision(stage, Action.REFUSE, {}, (), (), reason, self.identity, (), failed=True)

    def _rule(self, finding: Finding, stage: Stage) -> Rule:
        rules = self.rules.get(finding.category)
        return Rule(Action.ALLOW, 1.0) if rules is None else rules[stage]

    def _counts(self, finding: Finding, stage: Stage) -> bool:
        rule = self._rule(finding, stage)
        return rule.action > Action.ALLOW and finding.score >= rule.threshold

    def _action(self, finding: Finding, stage: Stage) -> Action:
        action = self._rule(finding, stage).action
        return Action.REFUSE if action is Action.REDACT and not finding.has_passage else action

    def _reason(self, action: Action, stage: Stage, findings: Sequence[Finding]) -> str:
        if action is Action.ALLOW:
            return "nothing reaches a threshold"
        decisive = next(f for f in findings if self._counts(f, stage) and self._action(f, stage) is action)
        threshold = self._rule(decisive, stage).threshold
        return f"{decisive.category}: {decisive.reason} ({decisive.tier} {decisive.score:.2f}, threshold {threshold:g})"


def read_policy(address: str | Path = DEFAULT) -> Policy:
    """Read a policy.

    Args:
        address: a TOML file, or "default" for lmcraft's own.

    Raises:
        UserError: the file does not exist, or a value in it is unknown or impossible; the message names both.
    """
    path = default_policy_file() if str(address) == DEFAULT else Path(address)
    if path.is_dir():
        raise UserError(f"policy '{path}' is a folder: name a TOML file, or write one with `lmcraft guard init`")
    try:
        return _parse(read_toml(path), path.parent)
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"policy '{path}': {error}") from error


def default_policy_file() -> Path:
    """The file of lmcraft's own policy."""
    return Path(str(files("lmcraft.moderation") / "policies" / "default.toml"))


def _parse(table: Mapping[str, Any], folder: Path) -> Policy:
    keys = ("name", "version", "refusal", "tiers", "categories")
    _check_keys(table, keys, "the policy")
    texts = {key: convert_value(str, table.get(key, "1" if key == "version" else ""), key) for key in ("name", "version")}
    if not texts["name"]:
        raise UserError('the policy has no name, which every decision record shows: add name = "..."')
    refusal = _table(table.get("refusal", {"en": "I can't help with that."}), "refusal", str)
    if not refusal or not all(text.strip() for text in refusal.values()):
        raise UserError('refusal has no text: write one for each language, such as en = "I can\'t help with that."')
    tier_values = _table(table.get("tiers", {}), "tiers")
    _check_keys(tier_values, tuple(field_types(Tiers)), "tiers")
    tiers = Tiers(
        **{key: convert_value(field_types(Tiers)[key], value, f"tiers.{key}") for key, value in tier_values.items()}
    )
    if not (tiers.lexicons or tiers.classifier or tiers.model):
        raise UserError('tiers names no tier, so nothing would be judged: add lexicons = ["en", "zh"] to [tiers]')
    for label, category in tiers.labels.items():
        _check_category(category, f"tiers.labels.{label}")
    categories = _table(table.get("categories", {}), "categories")
    rules = {name: _parse_category(name, values) for name, values in categories.items()}
    if not any(rule.action > Action.ALLOW for stages in rules.values() for rule in stages.values()):
        raise UserError('the policy allows everything: add a category, such as [categories.hate] with answer = "refuse"')
    return Policy(tiers=tiers, rules=rules, refusal=refusal, folder=folder, **texts)


def _table(value: Any, setting: str, values: Any = Any) -> dict[str, Any]:
    """A table whose values have a type; [[setting]] makes a list of tables."""
    if isinstance(value, list):
        raise UserError(f"{setting} is a list: write [{setting}] with single brackets")
    table: dict[str, Any] = convert_value(dict[str, values], value, setting)
    return table


def _parse_category(name: str, values: Any) -> dict[Stage, Rule]:
    setting = f"categories.{name}"
    _check_category(name, "categories")
    table = _table(values, setting)
    _check_keys(table, ("threshold", *STAGES), setting)
    threshold = _threshold(table.get("threshold", 0.7), f"{setting}.threshold")
    return {stage: _parse_rule(table.get(stage, "allow"), threshold, f"{setting}.{stage}") for stage in STAGES}


def _parse_rule(value: Any, threshold: float, setting: str) -> Rule:
    if isinstance(value, Mapping):
        _check_keys(value, ("action", "threshold"), setting)
        if "action" not in value:
            raise UserError(f'{setting} has no action: write {{action = "refuse", threshold = {threshold:g}}}')
        return Rule(_action(value["action"], setting), _threshold(value.get("threshold", threshold), f"{setting}.threshold"))
    return Rule(_action(value, setting), threshold)


def _action(value: Any, setting: str) -> Action:
    if value not in ACTIONS:
        raise UserError(f"{setting}={value!r} is not an action: use one of {', '.join(ACTIONS)}")
    return Action[value.upper()]


def _threshold(value: Any, setting: str) -> float:
    threshold: float = convert_value(float, value, setting)
    if not 0 < threshold <= 1:
        raise UserError(f"{setting}={threshold:g} is out of range: use a number above 0 and at most 1")
    return threshold


def _check_category(name: Any, setting: str) -> None:
    if name not in CATEGORIES:
        raise UserError(f"{setting}: there is no category {name!r}: use one of {', '.join(CATEGORIES)}")


def _check_keys(table: Mapping[str, Any], keys: Sequence[str], setting: str) -> None:
    for key in table:
        if key not in keys:
            raise UserError(f"{setting} has no setting {key!r}: use {', '.join(keys)}")
