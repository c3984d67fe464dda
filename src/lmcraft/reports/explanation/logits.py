"""The view of direct logit attribution: the logit of a token as a sum over the components of the model."""

import re
from functools import partial

from lmcraft.interpretability.explanation import Explanation, LogitAttribution
from lmcraft.reports.explanation.bars import bar_table
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.heat_map import HeatMap
from lmcraft.reports.explanation.phrases import say_phrase
from lmcraft.reports.explanation.tokens import number, shade, spell, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_BARS = 16
HEAD = re.compile(r"head (\d+)\.(\d+)")
FEED_FORWARD = re.compile(r"feed-forward (\d+)")


def logits_html(explanation: Explanation, attribution: LogitAttribution) -> str:
    """The greatest contributions as bars, and all by layer as a map."""
    token = f"{attribution.position}: {token_html(explanation.tokens[attribution.position])}"
    parts = [f"<p>{both(lambda: _describe(attribution))} {both(lambda: say('Read after token'))} {token}.</p>"]
    ranked = sorted(attribution.contributions, key=lambda contribution: -abs(contribution.logit))
    rows = [(both(partial(say_phrase, contribution.component)), contribution.logit) for contribution in ranked[:MAX_BARS]]
    if others := ranked[MAX_BARS:]:
        rest = both(lambda: say("the other {n} together", n=len(others)))
        rows.append((f"<em>{rest}</em>", sum(contribution.logit for contribution in others)))
    rows.append((f"<strong>{both(lambda: say('total'))}</strong>", attribution.total))
    parts.append(bar_table((both(lambda: say("component")), both(lambda: say("logit"))), rows))
    return "".join([*parts, _map(attribution), checks_html(attribution.checks)])


def _describe(attribution: LogitAttribution) -> str:
    values = {"target": spell(attribution.target), "total": number(attribution.total, 2, "+")}
    if attribution.contrast:
        contrast = spell(attribution.contrast)
        return say("The logit of “{target}” minus that of “{contrast}” is {total}.", contrast=contrast, **values)
    return say("The logit of “{target}” minus the mean of all logits is {total}.", **values)


def _map(attribution: LogitAttribution) -> str:
    """The contributions of all heads and feed-forwards, a row for each layer."""
    cells: dict[int, dict[int, float]] = {}
    for contribution in attribution.contributions:
        if match := HEAD.fullmatch(contribution.component):
            cells.setdefault(int(match[1]), {})[int(match[2])] = contribution.logit
        elif match := FEED_FORWARD.fullmatch(contribution.component):
            cells.setdefault(int(match[1]), {})[-1] = contribution.logit
    if not cells:
        return ""
    heads = max(number for row in cells.values() for number in row) + 1
    layers = range(max(cells) + 1)
    columns = [*range(heads), -1]
    top = max(abs(value) for row in cells.values() for value in row.values())
    shades = [[shade(cells.get(layer, {}).get(column), top) for column in columns] for layer in layers]
    names = [*map(str, range(heads)), "FF"]
    caption = both(
        lambda: say(
            "A row for each layer, a column for each head, and the feed-forward (FF) at the right. Green raises the logit, "
            "red lowers it."
        )
    )
    return HeatMap(shades, list(map(str, layers)), names, "logits").draw(caption)
