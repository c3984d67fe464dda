"""Whether an explanation is true: what it names was taken away, and so were random others of its kind."""

from collections.abc import Sequence
from html import escape
from math import isfinite

from lmcraft.interpretability.explanation import Check
from lmcraft.reports.explanation.phrases import begin_sentence, say_phrase
from lmcraft.reports.explanation.tokens import number
from lmcraft.reports.language import page_language, say
from lmcraft.reports.template import both, in_both

PLOT_WIDTH, PLOT_HEIGHT, PLOT_MARGIN = 240, 22, 8


def checks_html(checks: Sequence[Check]) -> str:
    """The checks of a view, each as a sentence with its verdict; says so if there are none."""
    if not checks:
        return f'<p class="note">{both(lambda: say("Nothing was ablated to check this view."))}</p>'
    title = both(lambda: say("Is it true?"))
    return f"<h3>{title}</h3>" + "".join(map(_check_html, checks))


def _check_html(check: Check) -> str:
    verdict = both(lambda: verdict_of(check))
    kind = "passed" if check.is_passed else "failed" if check.is_possible else "undecided"
    sentence = in_both(lambda: escape(describe(check)))
    return f'<div class="check {kind}"><p><strong class="verdict">{verdict}</strong> {sentence}</p>{_plot(check)}</div>'


def verdict_of(check: Check) -> str:
    """Whether the check is passed, in the language of the page."""
    if check.is_passed:
        return say("Better than random.")
    if not check.is_possible:
        return say("Too few others for a test.")
    return say("No better than random.")


def describe(check: Check) -> str:
    """The check in a sentence or two, in the language of the page."""
    values = {
        "subject": begin_sentence(say_phrase(check.subject)),
        "measure": say_phrase(check.measure),
        "before": number(check.before, 3),
        "after": number(check.after, 3),
        "change": number(check.effect, 3, "+"),
    }
    gap = " " if page_language() == "en" else ""
    return f"{_say_action(check, values)}{gap}{_say_random(check)}"


def _say_action(check: Check, values: dict[str, str]) -> str:
    if check.action == "ablated":
        return say("{subject} ablated: {measure} went from {before} to {after} ({change}).", **values)
    if check.action == "patched":
        return say("{subject} patched: {measure} went from {before} to {after} ({change}).", **values)
    if check.action == "swapped":
        return say("{subject} swapped: {measure} went from {before} to {after} ({change}).", **values)
    return say("{subject} left out of training: {measure} went from {before} to {after} ({change}).", **values)


def _say_random(check: Check) -> str:
    changes = [value - check.before for value in check.random if isfinite(value)]
    if not changes:
        return say("No random others were tried.")
    return say(
        "Random others (n = {n}) changed it by {mean} on average ({low} to {high}); p = {p}.",
        n=len(check.random),
        mean=number(sum(changes) / len(changes), 3, "+"),
        low=number(min(changes), 3, "+"),
        high=number(max(changes), 3, "+"),
        p=number(check.p_value, 3),
    )


def _plot(check: Check) -> str:
    """A line with the effect as a full dot and those of the random others as rings; in words it is in the sentence."""
    changes = [value - check.before for value in check.random if isfinite(value)]
    if not changes or not isfinite(check.effect):
        return ""
    low, high = min(0.0, check.effect, *changes), max(0.0, check.effect, *changes)
    scale = (PLOT_WIDTH - 2 * PLOT_MARGIN) / ((high - low) or 1.0)

    def x(change: float) -> str:
        return f"{PLOT_MARGIN + (change - low) * scale:.0f}"

    middle = PLOT_HEIGHT // 2
    rings = "".join(f'<circle class="a" cx="{x(change)}" cy="{middle}" r="3"/>' for change in changes)
    zero = f'<line class="ink" x1="{x(0)}" x2="{x(0)}" y1="2" y2="{PLOT_HEIGHT - 2}"/>'
    line = f'<line class="grid" x1="0" x2="{PLOT_WIDTH}" y1="{middle}" y2="{middle}"/>'
    dot = f'<circle class="dot" cx="{x(check.effect)}" cy="{middle}" r="5"/>'
    return f'<svg class="effect" viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" aria-hidden="true">{line}{zero}{rings}{dot}</svg>'
