"""The safety audit of a model."""

from typing import Any

from lmcraft.folder.names import RUN
from lmcraft.reports.evidence.figure import Figure, Record, Records, number, text
from lmcraft.reports.evidence.record import Safety, SafetyGap

FILE = f"{RUN}/safety/safety.json"


def read_safety(records: Records, weights: str) -> tuple[Safety | None, list[str]]:
    """The audit of these weights; and its file if it is that of other weights."""
    record = records.json(FILE)
    if record is None:
        return None, []
    if record.get("weights") not in (None, weights):
        return None, [FILE]
    entries = [(index, entry) for index, entry in enumerate(record.array("figures")) if isinstance(entry, dict)]
    figures = [(text(entry.get("title")), _figure(record, index, entry)) for index, entry in entries]
    settings = record.object("settings")
    return Safety(
        figures=[(title, figure) for title, figure in figures if figure is not None],
        gaps=list(filter(None, (_gap(record, index) for index in range(len(record.array("gaps")))))),
        parts=list(dict.fromkeys(text(entry.get("part")) for _, entry in entries)),
        scorer_hash=text(record.get("scorer_hash")),
        settings=settings,
        failed=[sentence for sentence in record.array("failed") if isinstance(sentence, str)],
        reference=text(record.get("reference")),
        file=FILE,
        is_complete=not settings.get("limit"),
    ), []


def _figure(record: Record, index: int, entry: dict[str, Any]) -> Figure | None:
    name, items = text(entry.get("figure")), entry.get("items")
    count = items if isinstance(items, int) else None
    return record.metric(f"safety.{text(entry.get('panel'))}.{name}", name, "figures", index, "value", count=count)


def _gap(record: Record, index: int) -> SafetyGap | None:
    entry = record.object("gaps", index)
    source, attribute, lowest, highest = (text(entry.get(key)) for key in ("source", "attribute", "lowest", "highest"))
    id = f"safety.gaps.{index}"
    gap = record.figure(id, f"gap between groups by {attribute}", "gaps", index, "gap")
    if gap is None:
        return None
    expected = record.figure(f"{id}.expected", "gap that chance alone makes", "gaps", index, "expected")
    return SafetyGap(source, attribute, lowest, highest, gap, expected, number(entry.get("adjusted_p_value")))
