"""The view of input attribution: which tokens of the text make the model expect the target."""

from lmcraft.interpretability.explanation import Explanation, InputAttribution
from lmcraft.reports.explanation.bars import bar_table
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.tokens import percent, shade, spell, strip_of, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_LISTED = 10


def inputs_html(explanation: Explanation, attribution: InputAttribution) -> str:
    """The text with shades, and the strongest tokens as bars."""
    top = max(map(abs, attribution.scores), default=0.0)
    shades = [shade(score, top) for score in attribution.scores]
    intro = both(
        lambda: say(
            "Integrated gradients (arXiv 1703.01365): how much each token's embedding adds to the logit of “{target}”. Green "
            "tokens raise it, red ones lower it. The sum misses {gap} of the logit's change from the baseline.",
            target=spell(attribution.target),
            gap=percent(abs(attribution.gap)),
        )
    )
    ranked = sorted(enumerate(attribution.scores), key=lambda pair: -abs(pair[1]))[:MAX_LISTED]
    rows = [(f"{position}: {token_html(explanation.tokens[position])}", score) for position, score in ranked]
    head = (both(lambda: say("token")), both(lambda: say("share of the logit")))
    return "".join(
        [
            f"<p>{intro}</p>",
            strip_of(explanation.tokens, shades, "inputs"),
            bar_table(head, rows),
            checks_html(attribution.checks),
        ]
    )
