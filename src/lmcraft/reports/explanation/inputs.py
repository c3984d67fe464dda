"""The view of input attribution: which tokens of the text make the model expect the target."""

from lmcraft.interpretability.explanation import Explanation, InputAttribution
from lmcraft.reports.explanation.bars import bar_table
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.tokens import number, percent, shade, spell, strip_of, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_LISTED = 10


def inputs_html(explanation: Explanation, attribution: InputAttribution) -> str:
    """The text with shades, and the strongest tokens as bars."""
    top = max(map(abs, attribution.scores), default=0.0)
    shades = [shade(score, top) for score in attribution.scores]
    parts = [both(lambda: _describe(attribution)), both(lambda: _method(attribution))]
    ranked = sorted(enumerate(attribution.scores), key=lambda pair: -abs(pair[1]))[:MAX_LISTED]
    rows = [(f"{position}: {token_html(explanation.tokens[position])}", score) for position, score in ranked]
    head = (both(lambda: say("token")), both(lambda: say("share of the logit")))
    return "".join(
        [
            f"<p>{' '.join(parts)}</p>",
            strip_of(explanation.tokens, shades, "inputs"),
            bar_table(head, rows),
            checks_html(attribution.checks),
        ]
    )


def _describe(attribution: InputAttribution) -> str:
    """Where the logit starts, and where it ends."""
    values = {
        "target": spell(attribution.target),
        "before": number(attribution.before, 2, "+"),
        "after": number(attribution.after, 2, "+"),
    }
    if attribution.contrast:
        return say(
            "The logit of “{target}” minus that of “{contrast}” goes from {before}, with every token replaced by a "
            "baseline, to "
            "{after} on the text. Green tokens raise it, red ones lower it.",
            contrast=spell(attribution.contrast),
            **values,
        )
    return say(
        "The logit of “{target}” minus the mean of all logits goes from {before}, with every token replaced by a "
        "baseline, to "
        "{after} on the text. Green tokens raise it, red ones lower it.",
        **values,
    )


def _method(attribution: InputAttribution) -> str:
    gap = percent(abs(attribution.gap))
    if attribution.baseline == "zero":
        return say(
            "Integrated gradients (arXiv 1703.01365) from embeddings of zero; the sum misses {gap} of the change.", gap=gap
        )
    return say(
        "Integrated gradients (arXiv 1703.01365) from the mean embedding; the sum misses {gap} of the change.", gap=gap
    )
