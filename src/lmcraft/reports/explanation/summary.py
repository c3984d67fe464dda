"""The explanation in a few lines, for the terminal and the top of the page."""

from collections.abc import Iterator

from lmcraft.interpretability.explanation import Check, Explanation
from lmcraft.reports.explanation.checks import verdict_of
from lmcraft.reports.explanation.heads import kind_of, kinds, say_kind
from lmcraft.reports.explanation.phrases import say_phrase
from lmcraft.reports.explanation.surprise import mean_nats, most_surprising
from lmcraft.reports.explanation.tokens import number, percent, spell
from lmcraft.reports.language import say

MAX_TOKENS, MAX_HEADS = 3, 3  # of a kind


def all_checks(explanation: Explanation) -> list[Check]:
    """The checks of all views, in the order of the page."""
    views = (
        *explanation.lenses,
        explanation.logit_attribution,
        explanation.attention,
        explanation.patching,
        explanation.input_attribution,
        explanation.influence,
        explanation.training,
    )
    return [check for view in views if view is not None for check in view.checks]


def summarize(explanation: Explanation) -> Iterator[str]:
    """Lines: what surprises, what comes next, which heads stand out, and the verdicts of the checks."""
    nats = mean_nats(explanation)
    if nats is not None:
        tokens = ", ".join(
            f"{spell(explanation.tokens[position])} ({value:.1f})"
            for position, value in most_surprising(explanation, MAX_TOKENS)
        )
        yield f"surprise: {nats:.2f} nats per token; most at {tokens}"
    if choices := explanation.surprise.next_tokens:
        listed = ", ".join(f"{spell(choice.text)} {percent(choice.probability)}" for choice in choices[:MAX_TOKENS])
        yield f"next: {listed}"
    yield from _heads(explanation)
    if explanation.training is not None and explanation.training.formation_step is not None:
        yield f"induction forms by step {explanation.training.formation_step:,}"
    if explanation.influence is not None and explanation.influence.documents:
        influence = explanation.influence
        method, first = influence.methods[0], influence.documents[0]
        yield f"most influential by {method}: document {first.number} ({influence.document_count:,} in all)"
    yield from map(_verdict, all_checks(explanation))
    for view, reason in explanation.omitted:
        yield f"not shown: {view}: {reason}"


def _verdict(check: Check) -> str:
    """The check in one short line."""
    mark = "✓" if check.is_passed else "✗" if check.is_possible else "?"
    changes = [value - check.before for value in check.random]
    others = f"; random {number(min(changes), 3, '+')} to {number(max(changes), 3, '+')}" if changes else ""
    measure = f"{say_phrase(check.measure)} {number(check.effect, 3, '+')}"
    line = f"{mark} {say_phrase(check.subject)} {check.action}: {measure}{others}"
    return line if check.is_passed else f"{line}: {verdict_of(check).lower()}"


def _heads(explanation: Explanation) -> Iterator[str]:
    """The heads that stand out, by kind."""
    heads = explanation.attention.heads if explanation.attention is not None else ()
    for kind in ("induction", "previous", "duplicate"):
        named = sorted((h for h in heads if kind_of(h) == kind), key=lambda h: -kinds(h)[kind])
        if named:
            listed = ", ".join(f"{h.layer}.{h.number} ({number(kinds(h)[kind])})" for h in named[:MAX_HEADS])
            more = f" and {len(named) - MAX_HEADS} more" if len(named) > MAX_HEADS else ""
            yield f"{say_kind(kind)}s: {listed}{more}"


def count_verdicts(explanation: Explanation) -> str:
    """How many checks are passed, in the language of the page."""
    checks = all_checks(explanation)
    passed, possible = (sum(getattr(check, name) for check in checks) for name in ("is_passed", "is_possible"))
    if untestable := len(checks) - possible:
        return say("{passed} of {count} ({untestable} untestable)", passed=passed, count=possible, untestable=untestable)
    return say("{passed} of {count}", passed=passed, count=possible)
