"""The view of influence: which training documents taught the model this text."""

from functools import partial
from html import escape
from math import isfinite

from lmcraft.interpretability.explanation import DocumentInfluence, Explanation, Influence
from lmcraft.interpretability.influence.search import MIN_METASMOOTHNESS
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.phrases import say_phrase
from lmcraft.reports.explanation.tokens import number, read_as_text
from lmcraft.reports.language import say
from lmcraft.reports.template import both

MAX_EXCERPT = 600  # characters


def influence_html(explanation: Explanation, influence: Influence) -> str:
    """The documents with their scores by each method."""
    intro = both(
        lambda: say(
            "Of {count} training documents, those that changed the loss of the text most, at step {step}. Positive: "
            "training on the document lowered the loss.",
            count=f"{influence.document_count:,}",
            step=f"{influence.step:,}",
        )
    )
    methods = "".join(f"<li>{both(partial(say_method, method))}</li>" for method in influence.methods)
    documents = "".join(_document(document, influence) for document in influence.documents)
    return "".join(
        [
            f'<p>{intro}</p><ul class="note">{methods}</ul>',
            _trust(influence),
            f'<ol class="documents">{documents}</ol>',
            checks_html(influence.checks),
        ]
    )


def say_method(method: str) -> str:
    """How a method computes influence, in the language of the page."""
    if method == "replay":
        return say("replay: the exact derivative of the loss by the document's weight, through the whole run")
    if method == "ekfac":
        return say("EK-FAC: an approximation by the curvature at the final weights")
    if method == "cosine":
        return say("cosine: how alike the gradients of document and text are")
    return method


def say_method_name(method: str) -> str:
    """Its short name, in the language of the page."""
    if method == "replay":
        return say("replay")
    if method == "cosine":
        return say("cosine")
    return "EK-FAC" if method == "ekfac" else method


def _trust(influence: Influence) -> str:
    """How far the scores can be trusted."""
    value = influence.metasmoothness
    sentences = (
        [] if value is None else [both(lambda: say("Metasmoothness of the run: {value}; 1 is best.", value=number(value)))]
    )
    sentences += [both(partial(say_phrase, note)) for note in influence.notes]
    is_rough = value is not None and value < MIN_METASMOOTHNESS
    return f'<p class="{"warning" if is_rough else "note"}">{" ".join(sentences)}</p>' if sentences else ""


def _document(document: DocumentInfluence, influence: Influence) -> str:
    title = both(lambda: say("Document {number}", number=f"{document.number:,}"))
    scores = "".join(_score(name, document.scores[name]) for name in influence.methods if name in document.scores)
    shown = document.excerpt[:MAX_EXCERPT] + ("…" if len(document.excerpt) > MAX_EXCERPT else "")
    file = document.source.rpartition("/")[2]  # others who get the page need not know this machine's folders
    source = f' <span class="note"><bdi>{escape(read_as_text(file))}</bdi></span>' if file else ""
    excerpt = escape("\n".join(map(read_as_text, shown.split("\n"))))
    return f'<li><h3>{title}{source}</h3><dl class="scores">{scores}</dl><pre dir="auto" tabindex="0">{excerpt}</pre></li>'


def _score(method: str, score: float) -> str:
    figure = f"{score:+.3g}".replace("-", "−") if isfinite(score) else "–"
    return f"<div><dt>{both(lambda: say_method_name(method))}</dt><dd>{figure}</dd></div>"
