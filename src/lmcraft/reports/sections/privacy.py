"""The guarantee of differential privacy, and the audit of it, in a model's report."""

from html import escape

from lmcraft.reports.chart import Interval, interval_chart
from lmcraft.reports.evidence import DifferentialPrivacy, Evidence, Figure, PrivacyAudit
from lmcraft.reports.language import say
from lmcraft.reports.sections.quantities import link_file, numeric, say_figure, say_number
from lmcraft.reports.table import html_table, key_value_rows


def privacy_section(evidence: Evidence) -> str:
    """The guarantee and what it does not cover, what was scrubbed, and what attacks got; empty if there is nothing."""
    guarantee, audit = evidence.guarantee, evidence.privacy_audit
    first = "" if guarantee is None else _guarantee(guarantee, has_base=bool(evidence.parents))
    return first + _scrubbed(evidence) + ("" if audit is None else _audit(audit))


def _guarantee(guarantee: DifferentialPrivacy, *, has_base: bool) -> str:
    unit = say(guarantee.unit)
    meaning = say(
        "Differential privacy per {unit}: ε = {epsilon}, δ = {delta}. Somebody who sees the weights and guesses whether a "
        "certain {unit} was in the training data, with both answers equally likely beforehand, is right in at most {share} "
        "of cases, whatever else they know.",
        unit=unit,
        epsilon=say_number(guarantee.epsilon.value),
        delta=say_number(guarantee.delta.value),
        share=f"{guarantee.most_guesses:.2%}",
    )
    limits = [
        say("It holds for one {unit} at a time: somebody who wrote several of them is protected less.", unit=unit),
        say("It does not cover the validation data, which decide which step's weights are kept, and the tokenizer."),
    ]
    if has_base:
        limits.append(say("It does not cover what the base model was trained on."))
    figures = [figure for figure in (guarantee.units, guarantee.target_epsilon, *guarantee.figures) if figure is not None]
    rows = {say(figure.name): say_number(figure.value) for figure in figures} | {say("accountant"): guarantee.accountant}
    items = "".join(f"<li>{escape(limit)}</li>" for limit in limits)
    return f"<p>{escape(meaning)}</p><ul>{items}</ul><table>{key_value_rows(rows)}</table>{_source(guarantee.file)}"


def _scrubbed(evidence: Evidence) -> str:
    stages = [stage for dataset in evidence.datasets for stage in dataset.stages if stage.personal_data]
    rows = [[kind, say_figure(figure)] for stage in stages for kind, figure in stage.personal_data.items()]
    if not rows:
        return ""
    heading = say("Personal data taken out of the training data")
    return f"<h3>{escape(heading)}</h3>{html_table([say('kind'), say('values')], rows)}"


def _audit(audit: PrivacyAudit) -> str:
    head = [say("attack"), say("figure"), say("count"), say("value (95% interval)")]
    rows = [[say(title), say(figure.name), _count(figure), say_figure(figure)] for title, figure in audit.figures]
    table = html_table(head, rows) if rows else ""
    return f"<h3>{escape(say('Audit'))}</h3>{_verdict(audit)}{_chart(audit)}{table}{_source(audit.file)}"


def _count(figure: Figure) -> str:
    return "" if figure.count is None else f"{figure.count:,}"


def _chart(audit: PrivacyAudit) -> str:
    """The lower bound beside the claim; empty if one of them is missing."""
    claimed, audited = numeric(audit.claimed), numeric(audit.audited)
    if claimed is None or audited is None:
        return ""
    bars = [Interval(say("proved by attacks"), audited, None, None), Interval(say("claimed"), claimed, None, None)]
    return interval_chart(bars, x_label="ε")


def _verdict(audit: PrivacyAudit) -> str:
    if audit.audited is None:
        return ""
    confidence = "-" if audit.confidence is None else f"{audit.confidence:.0%}"
    parts = [
        say(
            "The attacks prove that ε is at least {audited} (confidence {confidence}).",
            audited=say_number(audit.audited.value),
            confidence=confidence,
        )
    ]
    if audit.threat_model:
        parts.append(say("What the attacker sees: {model}.", model=say(audit.threat_model)))
    if audit.claimed is not None:
        claim = say_number(audit.claimed.value)
        parts.append(
            say("{claim} was claimed: the audit contradicts the guarantee.", claim=claim)
            if audit.passed is False
            else say("{claim} was claimed: the audit agrees with the guarantee.", claim=claim)
        )
    style = ' class="warning"' if audit.passed is False else ""
    return f"<p{style}>{escape(' '.join(parts))}</p>"


def _source(file: str) -> str:
    return f'<p class="note">{say("From {files}", files=link_file(file))}</p>'
