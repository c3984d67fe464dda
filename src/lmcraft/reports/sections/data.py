"""The data that a model was trained on: sources, licenses, languages, and what its preparation removed."""

from collections.abc import Mapping
from html import escape

from lmcraft.reports.evidence import Dataset, Evidence, Figure, Source
from lmcraft.reports.language import say
from lmcraft.reports.sections.quantities import numeric, say_number
from lmcraft.reports.table import html_table, key_value_rows
from lmcraft.terminal import format_bytes

MAX_ROWS = 200
HASH_CHARACTERS = 12  # shown of a SHA-256


def data_section(evidence: Evidence) -> str:
    """Each dataset, with its tables."""
    return "".join(map(_dataset, evidence.datasets))


def _dataset(dataset: Dataset) -> str:
    facts = {say("role"): say(dataset.role)}
    facts |= {
        name: say_number(figure.value)
        for name, figure in (
            (say("tokens"), dataset.tokens),
            (say("documents"), dataset.documents),
            (say("tokens held out"), dataset.validation_tokens),
        )
        if figure is not None
    }
    if dataset.manifest_sha256:
        facts[say("SHA-256 of the manifest")] = dataset.manifest_sha256[:HASH_CHARACTERS]
    parts = [f"<h3>{escape(dataset.name or say('not stated'))}</h3><table>{key_value_rows(facts)}</table>"]
    if dataset.sources:
        parts.append(_sources(dataset))
    parts += [_counts(say("license"), dataset.licenses), _counts(say("language"), dataset.languages), _stages(dataset)]
    return "".join(parts)


def _sources(dataset: Dataset) -> str:
    columns = {
        say("documents"): [_count(source.documents) for source in dataset.sources],
        say("text"): [_bytes(source.bytes) for source in dataset.sources],
        say("share of the run"): [_share(source) for source in dataset.sources],
        say("epochs"): ["" if source.epochs is None else say_number(source.epochs.value, 3) for source in dataset.sources],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [
        [source.name or say("not stated"), source.license or say("not stated"), *(cells[n] for cells in columns.values())]
        for n, source in enumerate(dataset.sources[:MAX_ROWS])
    ]
    more = len(dataset.sources) - MAX_ROWS
    note = f"<p>{escape(say('And {n} more.', n=more))}</p>" if more > 0 else ""
    return html_table([say("source"), say("license"), *columns], rows) + note


def _count(figure: Figure | None) -> str:
    return "" if figure is None else say_number(figure.value)


def _bytes(figure: Figure | None) -> str:
    size = numeric(figure)
    return "" if size is None else format_bytes(int(size))


def _share(source: Source) -> str:
    share = numeric(source.share)
    return "" if share is None else f"{share:.1%}"


def _counts(title: str, counts: Mapping[str, Figure]) -> str:
    rows = [[name or say("not stated"), say_number(figure.value)] for name, figure in list(counts.items())[:MAX_ROWS]]
    return html_table([title, say("documents")], rows) if rows else ""


def _stages(dataset: Dataset) -> str:
    rows = [
        [stage.name if stage.name == stage.kind else f"{stage.name} ({stage.kind})", _count(stage.removed)]
        for stage in dataset.stages[:MAX_ROWS]
    ]
    return html_table([say("stage of the preparation"), say("documents removed")], rows) if rows else ""
