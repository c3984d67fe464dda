"""The view of the text: how surprised the model is by each token, and what it would have written instead."""

from collections.abc import Sequence
from math import exp

from lmcraft.interpretability.explanation import Choice, Explanation
from lmcraft.reports.explanation.bars import frame_bars, probability_bar
from lmcraft.reports.explanation.tokens import SHADES, number, percent, rows_table, shade, strip_of, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

NATS_OF_STRONGEST_SHADE = 8.0
MAX_LISTED = 8  # of the most surprising tokens


def mean_nats(explanation: Explanation) -> float | None:
    """The mean surprise of the tokens that have one."""
    nats = [value for value in explanation.surprise.nats if value is not None]
    return sum(nats) / len(nats) if nats else None


def most_surprising(explanation: Explanation, count: int) -> list[tuple[int, float]]:
    """The tokens with the highest surprise and their nats, the highest first."""
    nats = [(n, value) for n, value in enumerate(explanation.surprise.nats) if value is not None]
    return sorted(nats, key=lambda pair: -pair[1])[:count]


def surprise_html(explanation: Explanation) -> str:
    """The text with shades, the next token, and the tokens that surprise most."""
    surprise = explanation.surprise
    shades = [max(0, shade(nats, NATS_OF_STRONGEST_SHADE)) for nats in surprise.nats]
    intro = both(
        lambda: say(
            "The stronger a token's color, the less the model expected it. Surprise is −ln p in nats: 0.7 is one in two, "
            "4.6 one in 100."
        )
    )
    parts = [
        f"<p>{intro}</p>",
        _legend(),
        strip_of(explanation.tokens, shades, "surprise"),
        '<div data-panel="surprise"></div>',
    ]
    parts.append(f"<h3>{both(lambda: say('What comes next'))}</h3>{choices_table(surprise.next_tokens)}")
    listed = most_surprising(explanation, MAX_LISTED)
    if listed:
        parts.append(f"<h3>{both(lambda: say('The greatest surprises'))}</h3>{_surprises(explanation, listed)}")
    return "".join(parts)


def _legend() -> str:
    steps = "".join(
        f'<span class="s{level}">{NATS_OF_STRONGEST_SHADE * level / SHADES:g}</span>' for level in range(SHADES + 1)
    )
    return f'<p class="legend strip-colors">{both(lambda: say("nats"))} {steps}</p>'


def choices_table(choices: Sequence[Choice]) -> str:
    """Tokens with their probabilities as bars."""
    rows = [[token_html(c.text), percent(c.probability), probability_bar(c.probability)] for c in choices]
    body = "".join(f'<tr><th scope="row">{t}</th><td class="figure">{p}</td><td>{bar}</td></tr>' for t, p, bar in rows)
    names, figures = both(lambda: say("token")), both(lambda: say("probability"))
    head = f'<th scope="col">{names}</th><th scope="col" colspan="2">{figures}</th>'
    return frame_bars(head, body)


def _surprises(explanation: Explanation, listed: list[tuple[int, float]]) -> str:
    rows = [
        [
            f"{position}: {token_html(explanation.tokens[position])}",
            number(nats, 1),
            percent(exp(-nats)),
            choices_html(explanation.surprise.alternatives[position]),
        ]
        for position, nats in listed
    ]
    head = [
        both(lambda: say("token")),
        both(lambda: say("nats")),
        both(lambda: say("probability")),
        both(lambda: say("the model expected")),
    ]
    return rows_table(head, rows)


def choices_html(choices: Sequence[Choice]) -> str:
    """Tokens with their probabilities, one after the other."""
    return " ".join(f'<span class="choice">{token_html(c.text)} {percent(c.probability)}</span>' for c in choices)
