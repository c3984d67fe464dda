"""The view of attention: a finder of heads, the pattern of the chosen one, and why heads attend."""

from functools import partial

from lmcraft.interpretability.attention.checks import MIN_SCORE
from lmcraft.interpretability.explanation import Attention, AttentionReason, Explanation, Head
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.phrases import say_phrase
from lmcraft.reports.explanation.tokens import number, percent, rows_table, strip_of, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_REASONS, MAX_PARTS = 12, 3


def kinds(head: Head) -> dict[str, float]:
    """The scores of a head by the names of its kinds, as in `say_kind`."""
    return {"induction": head.induction, "previous": head.previous_token, "duplicate": head.duplicate_token}


def kind_of(head: Head) -> str:
    """The kind of head for which its score is highest; empty if none is at least `MIN_SCORE`."""
    name, score = max(kinds(head).items(), key=lambda item: item[1])
    return name if score >= MIN_SCORE else ""


def say_kind(kind: str) -> str:
    """The name of a kind of head, in the language of the page."""
    if kind == "induction":
        return say("induction head")
    if kind == "previous":
        return say("previous-token head")
    return say("duplicate-token head") if kind == "duplicate" else ""


def heads_html(explanation: Explanation, attention: Attention) -> str:
    """The table of heads, the pattern of one, and the reasons."""
    intro = both(
        lambda: say(
            "Scores are mean attention weights on random tokens that are repeated: to the token after the last "
            "occurrence of "
            "the same one (induction), to the token before, and to the last occurrence itself (duplicate)."
        )
    )
    pattern = (
        '<div data-attention hidden><h3 data-head-title></h3><p data-head-status aria-live="polite"></p>'
        f'<canvas role="img" aria-labelledby="matrix-caption"></canvas><p class="note" id="matrix-caption">{_caption()}</p>'
        f"{strip_of([], [], 'attention')}</div>"
    )
    return "".join(
        [
            f"<p>{intro}</p>{_table(attention)}{pattern}",
            _reasons(explanation, attention),
            checks_html(attention.checks),
        ]
    )


def _caption() -> str:
    return both(
        lambda: say(
            "Each row is a token that attends, each column one that it attends to; the stronger the color, the higher "
            "the weight. Weights below {least} "
            "are left out.",
            least="5%",
        )
    )


def _table(attention: Attention) -> str:
    """All heads, those with the highest induction scores first."""
    head = [
        both(lambda: say("head")),
        both(lambda: say("induction")),
        both(lambda: say("previous token")),
        both(lambda: say("duplicate token")),
        both(lambda: say("kind")),
    ]
    ranked = sorted(attention.heads, key=lambda h: (-h.induction, h.layer, h.number))
    rows = [
        [
            f"{h.layer}.{h.number}",
            *map(number, kinds(h).values()),
            both(partial(say_kind, kind_of(h))) if kind_of(h) else "",
        ]
        for h in ranked
    ]
    return rows_table(head, rows, "finder")


def _reasons(explanation: Explanation, attention: Attention) -> str:
    if not attention.reasons:
        return ""
    title = both(lambda: say("Why they attend"))
    intro = both(
        lambda: say(
            "The score of a query and a key is a sum over pairs of what earlier components wrote there; these add "
            "most, compared with the average key."
        )
    )
    head = [
        both(lambda: say("head")),
        both(lambda: say("from token")),
        both(lambda: say("to token")),
        both(lambda: say("weight")),
        both(lambda: say("of the key: share of the score")),
        both(lambda: say("query × key: share of the score")),
    ]
    rows = [_reason(explanation, reason) for reason in attention.reasons[:MAX_REASONS]]
    return f"<h3>{title}</h3><p>{intro}</p>{rows_table(head, rows)}"


def _reason(explanation: Explanation, reason: AttentionReason) -> list[str]:
    tokens = explanation.tokens
    of_key = [_part("", *part) for part in reason.of_key[:MAX_PARTS]]
    parts = [_part(*part) for part in reason.parts[:MAX_PARTS]]
    return [
        f"{reason.layer}.{reason.head}",
        f"{reason.query}: {token_html(tokens[reason.query])}",
        f"{reason.key}: {token_html(tokens[reason.key])}",
        percent(reason.weight),
        " ".join(of_key),
        " ".join(parts),
    ]


def _part(query: str, key: str, score: float) -> str:
    """What a component of the query's residual stream and one of the key's add to the score."""
    pair = both(lambda: " × ".join(say_phrase(name) for name in (query, key) if name))
    return f'<span class="choice">{pair} {number(score, 1, "+")}</span>'
