"""The section of a model card about privacy: the guarantee of the training, and what attacks on the weights got."""

from collections.abc import Iterator

from lmcraft.reports.card.markdown import bullets, code, escape, paragraphs, table
from lmcraft.reports.card.values import capped, value_of
from lmcraft.reports.evidence import DifferentialPrivacy, Evidence, PrivacyAudit


def privacy_section(evidence: Evidence) -> str:
    """The guarantee, what it does not cover, and the audit."""
    guarantee, audit = evidence.guarantee, evidence.privacy_audit
    if guarantee is None:
        first = "Trained without differential privacy: nothing limits what the weights keep of a single text."
    else:
        first = paragraphs(_guarantee(guarantee), _mechanism(guarantee), bullets(_not_covered(guarantee, evidence)))
    return paragraphs(first if evidence.training or guarantee else "", _scrubbed(evidence), _audit(audit))


def _guarantee(guarantee: DifferentialPrivacy) -> str:
    epsilon, delta, unit = value_of(guarantee.epsilon), value_of(guarantee.delta), guarantee.unit
    share = f"{guarantee.most_guesses:.2%}"
    return (
        f"Trained with differential privacy, per {unit}: ε = {epsilon}, δ = {delta} (DP-SGD). Somebody who sees the weights "
        f"and guesses whether a certain {unit} was in the training data, with both answers equally likely beforehand, is "
        f"right in at most {share} of cases, whatever else they know."
    )


def _mechanism(guarantee: DifferentialPrivacy) -> str:
    figures = [figure for figure in (guarantee.units, guarantee.target_epsilon, *guarantee.figures) if figure is not None]
    rows = [[escape(figure.name), value_of(figure)] for figure in figures]
    return table(["", ""], [*rows, ["accountant", escape(guarantee.accountant)]])


def _not_covered(guarantee: DifferentialPrivacy, evidence: Evidence) -> Iterator[str]:
    yield f"It holds for one {guarantee.unit} at a time: somebody who wrote several of them is protected less."
    yield "It does not cover the validation data, which decide which step's weights are kept, and the tokenizer."
    if evidence.parents:
        yield "It does not cover what the base model was trained on."


def _scrubbed(evidence: Evidence) -> str:
    stages = [stage for dataset in evidence.datasets for stage in dataset.stages if stage.personal_data]
    counts = [f"{code(kind)} {value_of(figure)}" for stage in stages for kind, figure in stage.personal_data.items()]
    if not counts:
        return ""
    return f"Personal data that `lmcraft prepare` found and took out of the training data: {', '.join(counts)}."


def _audit(audit: PrivacyAudit | None) -> str:
    if audit is None:
        return "Not audited: `lmcraft audit privacy .` attacks the weights, and measures what they give away."
    rows = [
        [escape(title), escape(figure.name), value_of(figure), "" if figure.count is None else f"{figure.count:,}"]
        for title, figure in audit.figures
    ]
    head = ["attack", "figure", "value (95% interval)", "items"]
    return paragraphs(
        "Audited with `lmcraft audit privacy`:", table(head, capped(rows, len(head), audit.file)), _verdict(audit)
    )


def _verdict(audit: PrivacyAudit) -> str:
    if audit.audited is None:
        return ""
    sure = "" if audit.confidence is None else f" with {audit.confidence:.0%} confidence"
    sees = f" ({escape(audit.threat_model)})" if audit.threat_model else ""
    proved = f"The attacks prove{sure} that ε is at least {value_of(audit.audited)}{sees}"
    if audit.claimed is None:
        return f"{proved}."
    if audit.passed is False:
        return f"**The audit contradicts the guarantee.** {proved}, but {value_of(audit.claimed)} was claimed."
    return f"{proved}; {value_of(audit.claimed)} was claimed, so the audit agrees with the guarantee."
