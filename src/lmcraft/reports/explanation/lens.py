"""The view of the lenses: what each layer's residual stream says, by the logit lens and the Jacobian lens side by side."""

from collections.abc import Sequence

from lmcraft.interpretability.explanation import Choice, Explanation, Lens
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.heat_map import MAX_CELLS, HeatMap
from lmcraft.reports.explanation.surprise import choices_html
from lmcraft.reports.explanation.tokens import rows_table, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

RANKS = (1, 3, 10, 30, 100, 300, 1000, 10_000)
"""The highest rank of each shade, the strongest first."""
CHOICES_SHOWN = 3


def lens_html(explanation: Explanation) -> str:
    """The table of the last token, and maps of the ranks of the tokens that follow."""
    intro = both(
        lambda: say(
            "The residual stream after each layer, read as if it were the last one: the logit lens applies the "
            "unembedding as "
            "it is, the Jacobian lens first maps the layer to the last one by the model's mean Jacobian. The rank is "
            "that of "
            "the token that follows in the text, or, after the last token, of the one that the model would write."
        )
    )
    parts = [f"<p>{intro}</p>"]
    if not any(lens.kind == "jacobian" for lens in explanation.lenses):
        hint = both(lambda: say("This model has no Jacobian lens yet: fit one with --fit-lens."))
        parts.append(f'<p class="note">{hint}</p>')
    parts.append(f"<h3>{both(lambda: say('Layer by layer'))}</h3>{_table(explanation)}")
    maps = "".join(_map(explanation, lens) for lens in explanation.lenses)
    parts.append(
        f'<h3>{both(lambda: say("Rank of the following token, by layer and token"))}</h3><div class="pair">{maps}</div>'
    )
    return "".join([*parts, checks_html([check for lens in explanation.lenses for check in lens.checks])])


def lens_title(lens: Lens) -> str:
    """Its name in the language of the page."""
    return say("Logit lens") if lens.kind == "logit" else say("Jacobian lens")


def _table(explanation: Explanation) -> str:
    """By layer, what the lenses read at the last token; the script shows other tokens."""
    position = len(explanation.tokens) - 1
    head = [both(lambda: say("layer"))]
    for lens in explanation.lenses:
        head += [_title(lens), both(lambda: say("rank"))]
    layers = sorted({layer for lens in explanation.lenses for layer in lens.layers}, reverse=True)
    rows = [[str(layer), *_cells(explanation.lenses, layer, position)] for layer in layers]
    token = f"{position}: {token_html(explanation.tokens[position])}" if position >= 0 else ""
    caption = f"<p data-lens-place>{both(lambda: say('After token'))} <span>{token}</span></p>"
    return f"{caption}{rows_table(head, rows, 'lens')}"


def _title(lens: Lens) -> str:
    return both(lambda: lens_title(lens))


def _cells(lenses: Sequence[Lens], layer: int, position: int) -> list[str]:
    cells = []
    for lens in lenses:
        if layer not in lens.layers:
            cells += ["", ""]
            continue
        row = list(lens.layers).index(layer)
        choices: Sequence[Choice] = lens.choices[row][position]
        rank = lens.ranks[row][position]
        cells += [choices_html(choices[:CHOICES_SHOWN]), "" if rank is None else f"{rank:,}"]
    return cells


def _map(explanation: Explanation, lens: Lens) -> str:
    first = first_column(len(lens.layers), len(explanation.tokens))
    shades = [[rank_shade(rank) for rank in ranks[first:]] for ranks in lens.ranks]
    columns = explanation.tokens[first:]
    drawing = HeatMap(shades, [str(layer) for layer in lens.layers], columns, f"lens-{lens.kind}", first)
    reading = both(
        lambda: say("Strongest color: rank 1; each weaker one is about three times further down; no color: beyond 10,000.")
    )
    caption = f"<strong>{_title(lens)}</strong> {reading}"
    return drawing.draw(caption + (f" {left_out_note(first)}" if first else ""))


def first_column(rows: int, tokens: int) -> int:
    """The first token that a map shows: long texts show their end."""
    return max(0, tokens - MAX_CELLS // max(1, rows))


def left_out_note(first: int) -> str:
    """That a map begins later, as HTML."""
    return both(lambda: say("The map begins at token {first}.", first=first))


def rank_shade(rank: int | None) -> int:
    """The shade of a rank."""
    if rank is None:
        return 0
    return next((len(RANKS) - n for n, limit in enumerate(RANKS) if rank <= limit), 0)
