"""The sections of a model card about what was measured: tasks, safety, energy."""

from collections.abc import Iterable

from lmcraft.data.documents import count_noun
from lmcraft.energy import Emissions, Energy, format_emissions, format_energy
from lmcraft.reports.card.markdown import bullets, clean, code, escape, link, paragraphs, table
from lmcraft.reports.card.values import capped, format_value, percent, value_of
from lmcraft.reports.evidence import EnergyUse, Evidence, Figure, TaskEvaluation
from lmcraft.reports.safety import FIGURE_NAMES
from lmcraft.reports.sections.energy import say_method
from lmcraft.statistics.intervals import perplexity
from lmcraft.statistics.multiple import MAX_FALSE_DISCOVERY_RATE

FIGURE_TEXTS = {
    **FIGURE_NAMES,
    "acc": "accuracy",
    "acc_norm": "accuracy, normalized by length",
    "bits_per_byte": "bits per byte",
    "nats_per_token": "nats per token",
    "nats": "nats per answer",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "exact_match": "exact match",
    "pass_at_1": "pass@1",
    "unfinished": "share of answers that were cut off",
}


def evaluation_section(evidence: Evidence) -> str:
    outdated = ""
    if evidence.outdated:
        outdated = f"Results of other weights are left out: {count_noun(len(evidence.outdated), 'file', 'files')}."
    if not evidence.evaluations:
        return paragraphs("Not measured on tasks.", outdated)
    rows = [row for result in evidence.evaluations for row in _task_rows(result)]
    head = ["task", "figure", "value (95% interval)", "chance", "items", "in training data"]
    note = "Measured with `lmcraft evaluate`; chance is what a model that guesses reaches."
    file = evidence.evaluations[0].file.rpartition("/")[0]
    return paragraphs(note, table(head, capped(rows, len(head), file)), outdated)


def _task_rows(result: TaskEvaluation) -> Iterable[list[str]]:
    settings = ", ".join(
        f"{name} {value}" for name, value in result.settings.items() if value not in (False, "auto", "bf16", "fp32")
    )
    for number, figure in enumerate(result.figures):
        is_first = number == 0
        items = "" if result.items is None or not is_first else link(f"{result.items.value:,}", result.items.file)
        overlap = "not checked" if result.overlap is None else value_of(result.overlap)
        task = code(result.task) + (f" ({escape(settings, 120)})" if settings else "")
        yield [
            task if is_first else "",
            escape(FIGURE_TEXTS.get(figure.name, figure.name)),
            value_of(figure),
            value_of(result.chance) if result.chance is not None and is_first else "",
            items,
            overlap if is_first else "",
        ]


def safety_section(evidence: Evidence) -> str:
    safety = evidence.safety
    if safety is None:
        if evidence.kind != "text-generation":
            return ""
        return "Not measured: `lmcraft audit safety .` measures toxicity, harmful answers, refusals and gaps between groups."
    rows = [
        [escape(title), escape(FIGURE_NAMES.get(figure.name, figure.name)), _safety_value(figure), f"{figure.count or 0:,}"]
        for title, figure in safety.figures
    ]
    sample = "" if safety.is_complete else "Only a sample of the prompts was asked."
    note = f"Measured with `lmcraft audit safety`, scorer {code(safety.scorer_hash[:16])}; lower is safer. {sample}".strip()
    gaps = [
        [escape(gap.source), escape(gap.attribute), value_of(gap.gap), escape(f"{gap.lowest}, {gap.highest}")]
        for gap in safety.gaps
        if gap.p_value is not None and gap.p_value <= MAX_FALSE_DISCOVERY_RATE
    ]
    gap_table = paragraphs(
        "Gaps between groups that are larger than chance makes them:",
        table(["measured on", "groups by", "gap", "lowest, highest"], gaps),
    )
    return paragraphs(
        note,
        table(["measured on", "figure", "value (95% interval)", "prompts"], capped(rows, 4, safety.file)),
        gap_table if gaps else "No gap between groups is larger than chance makes it." if safety.gaps else "",
        bullets(map(escape, safety.failed)),
    )


def _safety_value(figure: Figure) -> str:
    """A figure of the audit; a loss is shown as the perplexity."""
    if figure.name != "nats_per_token" or isinstance(figure.value, str):
        return value_of(figure)
    shown = link(format_value(perplexity(figure.value)), figure.file)
    if figure.low is None or figure.high is None:
        return shown
    return f"{shown} ({format_value(perplexity(figure.low))} to {format_value(perplexity(figure.high))})"


def energy_section(evidence: Evidence) -> str:
    lines = []
    if evidence.energy is None:
        lines.append("Training: not counted.")
    else:
        lines += _energy_lines("Training", evidence.energy)
    for kind, use in evidence.later_energy.items():
        lines += _energy_lines(kind.capitalize(), use)
    note = "Electricity at the plug for this work alone; cooling of the building is not in it."
    return paragraphs(bullets(lines), note if evidence.energy or evidence.later_energy else "")


def _energy_lines(title: str, use: EnergyUse) -> list[str]:
    joules, low, high = _ends(use.energy)
    drawn = format_energy(Energy(joules, low, high))
    parts = [
        f"{title}: {link(escape(drawn), use.file)}, measured by {escape(say_method(use.method) or 'an unknown method')}"
    ]
    if use.emissions is not None:
        grams, low, high = _ends(use.emissions)
        year = int(use.year) if use.year.isdecimal() else 0
        emitted = link(escape(format_emissions(Emissions(grams, low, high, clean(use.region), year, ""))), use.file)
        parts.append(f"{emitted} ({escape(use.source)})" if use.source else emitted)
    if use.per_token is not None:
        parts.append(f"{value_of(use.per_token)} J per token")
    if use.per_1000_queries is not None:
        parts.append(f"{value_of(use.per_1000_queries)} Wh per 1,000 queries")
    if use.wasted is not None and use.wasted.value:
        parts.append(f"{percent(use.wasted)} of it on steps that do not count")
    return ["; ".join(parts) + "."]


def _ends(figure: Figure) -> tuple[float, float, float]:
    """A number and the ends of its interval; 0 for what is unknown."""
    value, low, high = (float(number or 0) for number in (figure.value, figure.low, figure.high))
    return value, low, high
