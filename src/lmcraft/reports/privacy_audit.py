"""The page of a privacy audit, and its tables for the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.audits.privacy.attacks import AREA, EXTRACTION_NAMES
from lmcraft.audits.privacy.results import PrivacyAudit, PrivacyFigure, Statement
from lmcraft.folder import write_text
from lmcraft.reports.chart import Interval, interval_chart
from lmcraft.reports.energy import energy_of
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table, say_metric
from lmcraft.reports.template import PAGE_NAME, fill_bilingual
from lmcraft.terminal import column_table

if TYPE_CHECKING:
    from rich.console import RenderableType

Table = tuple[list[str], list[list[str]]]

TITLE = "Privacy audit of"
KINDS = {
    "membership": "Membership inference",
    "extraction": "Extraction",
    "exposure": "Exposure of canaries",
    "canaries": "Canaries in or out",
}
MEANINGS = {
    "membership": (
        "Can somebody who has the weights and a document tell whether training read it? An area of 0.5 is guessing. The "
        "rate of true positives at 1% false positives is what a cautious attacker gets."
    ),
    "extraction": (
        "Share of documents of which the model continues a part verbatim after the tokens before it. Other documents, which "
        "the model has not read, show how much of that is text that anybody can guess."
    ),
    "exposure": (
        "How far the secret of a canary stands out from tokens that are as rare and that the model has not read, in bits. "
        "The more often a model reads a text, the better it remembers it."
    ),
    "canaries": "Can somebody who has the weights tell the canaries in the data from those left out?",
}
CHARTED = {"membership": AREA, "exposure": "exposure in bits", "extraction": EXTRACTION_NAMES["greedy"]}
THREATS = (
    "Final weights: the attacker has what the folder has. Every step: the attacker sees the noisy gradient of every step "
    "and knows everything but whether one unit is in the data, which is what the guarantee is about. A lower bound that is "
    "far below the claim shows that the attack is weak, not that the claim is wrong."
)
VERDICTS = {
    None: "The model has no guarantee of differential privacy, so there is no claim to contradict.",
    True: "Nothing contradicts the claim.",
    False: "The audit contradicts the claim.",
}


def write_privacy_audit(folder: Path, audit: PrivacyAudit) -> Path:
    """Write the page; returns its path."""
    energy = energy_of(folder)

    def build() -> dict[str, str]:
        return {
            "energy": energy(),
            "title": escape(say("Privacy audit of {model}", model=audit.model)),
            "verdict": escape(_verdict(audit)),
            "epsilon": _epsilon(audit),
            "checks": _checks(audit),
            "parts": "".join(_part(audit, kind) for kind in KINDS),
            "notes": "".join(f"<li>{escape(_say(note))}</li>" for note in audit.notes),
        }

    path = folder / PAGE_NAME
    write_text(path, fill_bilingual("privacy_audit.html", build))
    return path


def privacy_audit_tables(audit: PrivacyAudit) -> list["RenderableType"]:
    """The tables and sentences that the command prints."""
    tables: list[RenderableType] = []
    if audit.bounds:
        tables.append(column_table(say("Lower bounds on epsilon"), *bound_rows(audit)))
    if audit.checks:
        tables.append(column_table(say("The private step"), *check_rows(audit)))
    tables.append(column_table("", *figure_rows(audit.figures)))
    return [*tables, *map(_say, audit.notes), _verdict(audit)]


def figure_rows(figures: Sequence[PrivacyFigure]) -> Table:
    """The headings and rows of a table of figures."""
    head = [say(name) for name in ("figure", "measured on", "count", "value (95% interval)", "chance")]
    rows = [
        [
            say(figure.name),
            _say(figure.title),
            f"{figure.count:,}",
            say_metric(asdict(figure.metric)),
            "" if figure.chance is None else f"{figure.chance:.3g}",
        ]
        for figure in figures
    ]
    return head, rows


def bound_rows(audit: PrivacyAudit) -> Table:
    """The headings and rows of a table of lower bounds, beside the claim."""
    head = [say(name) for name in ("the attacker sees", "method", "epsilon at least", "from")]
    rows = [
        [say(bound.threat_model), _method(bound.method), f"{bound.epsilon:.2f}", _say(bound.detail)]
        for bound in audit.bounds
    ]
    if audit.claim is not None:
        claimed = say(
            "epsilon {epsilon} at delta {delta}", epsilon=f"{audit.claim.epsilon:.2f}", delta=f"{audit.claim.delta:.2g}"
        )
        rows.insert(0, ["", say("claimed"), f"{audit.claim.epsilon:.2f}", claimed])
    return head, rows


def check_rows(audit: PrivacyAudit) -> Table:
    """The headings and rows of a table of the parts of the private step."""
    head = [say(name) for name in ("part of the step", "claimed", "measured", "result")]
    rows = [
        [say(check.name), _say(check.claimed), _say(check.measured), say("as claimed" if check.passed else "WRONG")]
        for check in audit.checks
    ]
    return head, rows


def _say(statement: Statement) -> str:
    return say(statement.text, **statement.values)


def _method(method: str) -> str:
    """The name of a method, which may be that of an attack as well."""
    name, separator, attack = method.partition(", LiRA")
    return say(name) + separator + attack


def _verdict(audit: PrivacyAudit) -> str:
    sentence = say(VERDICTS[audit.passed])
    strongest = audit.strongest
    if strongest is None:
        return sentence
    shown = {
        "epsilon": f"{strongest.epsilon:.2f}",
        "threat_model": say(strongest.threat_model),
        "method": _method(strongest.method),
    }
    bound = say("Audited: epsilon at least {epsilon} ({threat_model}: {method}).", **shown)
    if audit.claim is None:
        return f"{bound} {sentence}"
    return f"{say('Claimed: epsilon {epsilon}.', epsilon=f'{audit.claim.epsilon:.2f}')} {bound} {sentence}"


def _epsilon(audit: PrivacyAudit) -> str:
    """The section of the bounds; empty if there are none."""
    if not audit.bounds:
        return ""
    entries = [Interval(f"{say(b.threat_model)}: {_method(b.method)}", b.epsilon, None, None) for b in audit.bounds]
    if audit.claim is not None:
        entries.insert(0, Interval(say("claimed"), audit.claim.epsilon, None, None))
    confidence = say("Each bound holds with {confidence} confidence.", confidence=f"{audit.confidence:.0%}")
    return (
        f"<h2>{escape(say('Lower bounds on epsilon'))}</h2><p>{escape(say(THREATS))} {escape(confidence)}</p>"
        f"{html_table(*bound_rows(audit))}{interval_chart(entries, x_label=say('epsilon'))}"
    )


def _checks(audit: PrivacyAudit) -> str:
    """The section of the private step; empty if there was none."""
    if not audit.checks:
        return ""
    meaning = say(
        "The trainer's own step was run with the audited weights: with and without planted units, with and without noise, "
        "and many times."
    )
    return f"<h2>{escape(say('The private step'))}</h2><p>{escape(meaning)}</p>{html_table(*check_rows(audit))}"


def _part(audit: PrivacyAudit, kind: str) -> str:
    """The heading, meaning, chart and table of an attack; empty if it was not made."""
    figures = [figure for figure in audit.figures if figure.kind == kind]
    if not figures:
        return ""
    charted = [figure for figure in figures if figure.name == CHARTED.get(kind)]
    entries = [Interval(_say(f.title), f.metric.value, f.metric.low, f.metric.high) for f in charted]
    chart = interval_chart(entries, x_label=say(CHARTED[kind])) if entries else ""
    return (
        f"<h2>{escape(say(KINDS[kind]))}</h2><p>{escape(say(MEANINGS[kind]))}</p>{chart}{html_table(*figure_rows(figures))}"
    )
