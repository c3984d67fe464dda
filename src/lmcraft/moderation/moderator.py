"""Judges texts by a policy: normalizes them, and asks its tiers, cheap first."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from lmcraft.errors import UserError
from lmcraft.moderation.characters import widen
from lmcraft.moderation.decision import Action, Decision, Finding, Stage
from lmcraft.moderation.normalized_text import NormalizedText
from lmcraft.moderation.policy import Policy, read_policy

# Module and function that opens a tier for a policy. Nothing is imported until a policy names the tier.
OPENERS = {
    "lexicon": "lexicon:open_lexicons",
    "classifier": "classifier:open_classifier",
    "model": "guard_model:open_guard_model",
}


class Tier(Protocol):
    """One way to judge a text. Judging changes nothing in it; threads may share it."""

    name: str
    """The key in `OPENERS`."""

    def fingerprint(self) -> str:
        """A hash of everything that its findings depend on besides the text: words, weights, version of the code."""

    def judge(self, text: NormalizedText, stage: Stage, question: str) -> Sequence[Finding]:
        """Everything it sees in a text.

        Args:
            text: the text.
            stage: where the text stands.
            question: what an answer answers; "" if unknown, and at other stages.
        """


class Moderator:
    """A policy and its tiers.

    Args:
        policy: what to do with findings.
        tiers: those of the policy, cheap first.
    """

    def __init__(self, policy: Policy, tiers: Sequence[Tier]) -> None:
        from lmcraft.moderation.normalization import normalize

        self.policy, self.tiers = policy, tuple(tiers)
        self._normalize: Callable[[str], NormalizedText] = normalize

    @classmethod
    def open(cls, policy: Policy | str = "default") -> "Moderator":
        """Open a policy's tiers.

        Args:
            policy: a policy, its file, or "default".

        Raises:
            UserError: the policy, a lexicon, a classifier or a guard model cannot be used.
        """
        policy = read_policy(policy) if isinstance(policy, str) else policy
        tiers = policy.tiers
        named = {"lexicon": tiers.lexicons, "classifier": tiers.classifier, "model": tiers.model}
        return cls(policy, [_open(name, policy) for name, value in named.items() if value])

    def fingerprint(self) -> dict[str, str]:
        """What decisions depend on besides the text: the policy's identity and the hash of each tier."""
        return {"policy": self.policy.identity, **{tier.name: tier.fingerprint() for tier in self.tiers}}

    def judge(self, text: str, stage: Stage, *, question: str = "", complete: bool = False) -> Decision:
        """Decide about a text. Fails closed: if a tier fails, the text is refused, and the decision is marked `failed`.

        Args:
            text: only what somebody wrote: no chat template, no text of the policy itself.
            stage: where it stands.
            question: what an answer answers.
            complete: ask every tier, even if a cheap one refuses the text.
        """
        findings: list[Finding] = []
        names: list[str] = []
        step = "normalization"
        try:
            normalized = self._normalize(text)
            decision = self.policy.decide(stage, findings, names)
            for tier in self.tiers:
                step = f"{tier.name} tier"
                findings += [_widen(finding, text) for finding in tier.judge(normalized, stage, question)]
                names.append(tier.name)
                decision = self.policy.decide(stage, findings, names)
                if decision.action is Action.REFUSE and not complete:
                    break
        except Exception as error:  # whatever it is, the text has not been judged
            return self.policy.fail(stage, f"the {step} failed ({type(error).__name__}: {error})")
        return decision


def _widen(finding: Finding, text: str) -> Finding:
    """The finding with whole characters as its passage."""
    if text.isascii() or not finding.has_passage:
        return finding
    start, end = widen(text, finding.start, finding.end)
    return replace(finding, start=start, end=end) if (start, end) != (finding.start, finding.end) else finding


def _open(name: str, policy: Policy) -> Tier:
    module, _, function = OPENERS[name].partition(":")
    try:
        tier: Tier = getattr(importlib.import_module(f"{__package__}.{module}"), function)(policy)
    except UserError as error:
        raise UserError(f"policy '{policy.name}': {error}") from error
    return tier
