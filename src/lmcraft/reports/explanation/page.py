"""The page of an explanation."""

from collections.abc import Callable
from functools import partial
from html import escape
from math import exp
from pathlib import Path

from lmcraft.folder import write_text
from lmcraft.folder.output import EXPLANATION_TITLE
from lmcraft.interpretability.explanation import Explanation
from lmcraft.reports.explanation.heads import heads_html
from lmcraft.reports.explanation.influence import influence_html
from lmcraft.reports.explanation.inputs import inputs_html
from lmcraft.reports.explanation.lens import lens_html
from lmcraft.reports.explanation.logits import logits_html
from lmcraft.reports.explanation.patching import patching_html
from lmcraft.reports.explanation.script_data import script_data
from lmcraft.reports.explanation.summary import all_checks, count_verdicts
from lmcraft.reports.explanation.surprise import mean_nats, surprise_html
from lmcraft.reports.explanation.tokens import number
from lmcraft.reports.explanation.training import training_html
from lmcraft.reports.language import say
from lmcraft.reports.template import both, fill_switched

FOLDER = Path(__file__).parent


def write_explanation(path: Path, explanation: Explanation) -> None:
    """Write the page of an explanation to a file."""
    write_text(path, build_page(explanation))


def build_page(explanation: Explanation) -> str:
    """The page, HTML that any encoding of Unicode can hold."""
    views = _views(explanation)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in views)
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{build()}</section>'
        for name, title, build in views
    )
    main = (
        f"<main><h1>{both(lambda: say('Explanation of a text'))}</h1>"
        f'<p class="subtitle">{escape(explanation.model)} · {escape(explanation.description)}</p>{_facts(explanation)}'
        f'<nav class="contents" aria-labelledby="contents"><span id="contents" hidden>{both(lambda: say("Contents"))}</span>'
        f"<ol>{links}</ol></nav>{sections}{_omitted(explanation)}</main>"
        f'<script type="text/plain" id="data">{script_data(explanation)}</script>'
    )
    style, script = ((FOLDER / f"explanation.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    page = fill_switched(f"{EXPLANATION_TITLE} {escape(explanation.model)}", main, style=style, script=script)
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" or c == "\0" else c for c in page)


View = tuple[str, str, Callable[[], str]]
"""Its name, its title as HTML, and what builds it."""


def _views(explanation: Explanation) -> list[View]:
    """The views that the explanation has."""
    views: list[View] = [
        ("surprise", both(lambda: say("Surprise")), lambda: surprise_html(explanation)),
    ]
    if explanation.lenses:
        views.append(("lens", both(lambda: say("What the layers say")), lambda: lens_html(explanation)))
    if (logits := explanation.logit_attribution) is not None:
        views.append(("logits", both(lambda: say("Which components decide")), lambda: logits_html(explanation, logits)))
    if (attention := explanation.attention) is not None:
        views.append(("attention", both(lambda: say("Attention heads")), lambda: heads_html(explanation, attention)))
    if (patching := explanation.patching) is not None:
        views.append(("patching", both(lambda: say("Activation patching")), lambda: patching_html(explanation, patching)))
    if (inputs := explanation.input_attribution) is not None:
        views.append(("inputs", both(lambda: say("Which tokens matter")), lambda: inputs_html(explanation, inputs)))
    if (influence := explanation.influence) is not None:
        title = both(lambda: say("Which documents taught this"))
        views.append(("influence", title, lambda: influence_html(explanation, influence)))
    if (training := explanation.training) is not None and training.steps:
        views.append(("training", both(lambda: say("Through training")), lambda: training_html(explanation, training)))
    return views


def _facts(explanation: Explanation) -> str:
    nats = mean_nats(explanation)
    facts = [
        (both(lambda: say("tokens")), f"{len(explanation.tokens):,}"),
        (both(lambda: say("nats per token")), number(nats)),
        (both(lambda: say("perplexity")), "–" if nats is None or nats > 700 else f"{exp(nats):,.1f}"),
    ]
    if all_checks(explanation):
        facts.append((both(lambda: say("checks better than random")), both(lambda: count_verdicts(explanation))))
    items = "".join(f'<div><dt>{name}</dt><dd class="number">{value}</dd></div>' for name, value in facts)
    return f'<dl class="facts">{items}</dl>'


def say_view(name: str) -> str:
    """The name of a view that is left out, in the language of the page."""
    titles: dict[str, Callable[[], str]] = {
        "lens": lambda: say("What the layers say"),
        "jacobian": lambda: say("Jacobian lens"),
        "logits": lambda: say("Which components decide"),
        "attention": lambda: say("Attention heads"),
        "patching": lambda: say("Activation patching"),
        "inputs": lambda: say("Which tokens matter"),
        "influence": lambda: say("Which documents taught this"),
        "training": lambda: say("Through training"),
        "replay": lambda: say("replay"),
        "ekfac": lambda: "EK-FAC",
        "cosine": lambda: say("cosine"),
        "checks": lambda: say("Is it true?"),
    }
    return titles[name]() if name in titles else name


def _omitted(explanation: Explanation) -> str:
    if not explanation.omitted:
        return ""
    title = both(lambda: say("Not shown"))
    items = "".join(f"<li>{both(partial(say_view, name))}: {escape(reason)}</li>" for name, reason in explanation.omitted)
    return f'<section id="omitted"><h2>{title}</h2><ul>{items}</ul></section>'
