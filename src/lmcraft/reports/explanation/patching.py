"""The view of activation patching: at which places the difference between two prompts is carried."""

from lmcraft.interpretability.explanation import Explanation, Patching
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.heat_map import HeatMap
from lmcraft.reports.explanation.lens import first_column, left_out_note
from lmcraft.reports.explanation.tokens import SHADES, number, rows_table, shade, spell, strip_of, token_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_LISTED = 8


def patching_html(explanation: Explanation, patching: Patching) -> str:
    """The other prompt, the two maps, and the places that carry most."""
    intro = both(
        lambda: say(
            "The logit of “{answer}” minus that of “{other}” is {clean} on the text, and {corrupted} on this other prompt:",
            answer=spell(patching.answer),
            other=spell(patching.other_answer),
            clean=number(patching.clean, 2, "+"),
            corrupted=number(patching.corrupted, 2, "+"),
        )
    )
    differs = [
        SHADES // 2 if token != other else 0 for token, other in zip(explanation.tokens, patching.other_tokens, strict=False)
    ]
    differs += [0] * (len(patching.other_tokens) - len(differs))
    other = strip_of(patching.other_tokens, differs, "other")
    meaning = both(
        lambda: say(
            "Each cell is one run of the other prompt in which one activation has its value from the text. 1 (green): the "
            "difference is restored in full; 0: nothing changed; below 0 (red): it grew."
        )
    )
    return "".join(
        [
            f"<p>{intro}</p>{other}<p>{meaning}</p>",
            f"<h3>{both(lambda: say('Residual stream before each block, at one token'))}</h3>",
            _residual_map(explanation, patching),
            f"<h3>{both(lambda: say('Output of one head, at all tokens'))}</h3>",
            _head_map(patching),
            checks_html(patching.checks),
        ]
    )


def _residual_map(explanation: Explanation, patching: Patching) -> str:
    first = first_column(len(patching.residual), len(explanation.tokens))
    shades = [[shade(value, 1.0) for value in row[first:]] for row in patching.residual]
    names = list(map(str, range(len(patching.residual))))
    cells = [
        (value, layer, position)
        for layer, row in enumerate(patching.residual)
        for position, value in enumerate(row)
        if 0 <= position < len(explanation.tokens)
    ]
    rows = [
        [str(layer), f"{position}: {token_html(explanation.tokens[position])}", number(value)]
        for value, layer, position in sorted(cells, key=lambda cell: -abs(cell[0]))[:MAX_LISTED]
    ]
    table = rows_table([both(lambda: say("layer")), both(lambda: say("token")), both(lambda: say("restored"))], rows)
    caption = both(lambda: say("Rows are layers, columns tokens; the table below lists the strongest cells."))
    caption += f" {left_out_note(first)}" if first else ""
    return HeatMap(shades, names, explanation.tokens[first:], "residual", first).draw(caption) + table


def _head_map(patching: Patching) -> str:
    if not patching.heads:
        return ""
    shades = [[shade(value, 1.0) for value in row] for row in patching.heads]
    cells = [(value, f"{layer}.{head}") for layer, row in enumerate(patching.heads) for head, value in enumerate(row)]
    strongest = sorted(cells, key=lambda cell: -abs(cell[0]))[:MAX_LISTED]
    listed = ", ".join(f"{name} ({number(value)})" for value, name in strongest)
    caption = both(lambda: say("Rows are layers, columns heads. The strongest: {heads}.", heads=listed))
    columns = list(map(str, range(max(map(len, patching.heads)))))
    return HeatMap(shades, list(map(str, range(len(patching.heads)))), columns, "heads").draw(caption)
