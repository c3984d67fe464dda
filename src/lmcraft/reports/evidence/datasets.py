"""The data that a model was trained on, as the summaries in `lineage.json` tell it."""

from collections.abc import Mapping
from typing import Any

from lmcraft.reports.evidence.figure import Figure, Record, text
from lmcraft.reports.evidence.record import Dataset, Source, Stage

Path = tuple[str | int, ...]


def read_datasets(lineage: Record | None) -> list[Dataset]:
    """The datasets that `lineage.json` names; those of version 1 without anything but the hash of the manifest."""
    if lineage is None:
        return []
    digest = text(lineage.get("data"))
    if digest:  # version 1
        return [_dataset(lineage, 0, {"role": "training data", "sha256": digest}, (), digest)]
    datasets = []
    for number, entry in enumerate(lineage.array("data")):
        if isinstance(entry, dict):
            path = ("ancestors", text(entry.get("sha256")))
            manifest = text(lineage.get(*path, "files", "manifest.json"))
            datasets.append(_dataset(lineage, number, entry, (*path, "summary"), manifest))
    return datasets


def _dataset(lineage: Record, number: int, entry: Mapping[str, Any], path: Path, manifest: str) -> Dataset:
    id = f"data.{number}"
    address = text(entry.get("address"))
    summary = lineage.object(*path) if path else {}
    return Dataset(
        role=text(entry.get("role")) or "training data",
        name=text(summary.get("name")) or address.rstrip("/").rpartition("/")[2],
        address=address,
        manifest_sha256=manifest,
        sha256=text(entry.get("sha256")),
        tokens=lineage.figure(f"{id}.tokens", "tokens", *path, "splits", "train", "tokens"),
        documents=lineage.figure(f"{id}.documents", "documents", *path, "splits", "train", "documents"),
        validation_tokens=lineage.figure(
            f"{id}.validation_tokens", "tokens held out", *path, "splits", "validation", "tokens"
        ),
        sources=[
            _source(lineage, f"{id}.sources.{index}", (*path, "sources", index))
            for index in range(len(lineage.array(*path, "sources")) if path else 0)
        ],
        licenses=_documents(lineage, f"{id}.licenses", (*path, "licenses")) if path else {},
        languages=_documents(lineage, f"{id}.languages", (*path, "languages")) if path else {},
        stages=[
            _stage(lineage, f"{id}.stages.{index}", (*path, "stages", index))
            for index in range(len(lineage.array(*path, "stages")) if path else 0)
        ],
        decontaminated=lineage.object(*path, "decontamination") if path else {},
    )


def _source(lineage: Record, id: str, path: Path) -> Source:
    name = text(lineage.get(*path, "source"))
    documents = (lineage.figure(f"{id}.documents", "documents", *path, *kept, "documents") for kept in (("kept",), ()))
    return Source(
        name=name,
        license=text(lineage.get(*path, "license")),
        documents=next((figure for figure in documents if figure is not None), None),
        bytes=lineage.figure(f"{id}.bytes", "bytes", *path, "bytes"),
        share=lineage.figure(f"{id}.share", "share of the run", "mixture", name, "share"),
        epochs=lineage.figure(f"{id}.epochs", "epochs", "mixture", name, "epochs"),
    )


def _stage(lineage: Record, id: str, path: Path) -> Stage:
    removed = lineage.figure(f"{id}.removed", "documents removed", *path, "total", "removed", "documents")
    values = {
        kind: lineage.figure(f"{id}.personal_data.{kind}", f"personal data: {kind}", *path, "personal_data", kind, "values")
        for kind in lineage.object(*path, "personal_data")
    }
    scrubbed = {kind: figure for kind, figure in values.items() if figure is not None}
    return Stage(text(lineage.get(*path, "kind")), text(lineage.get(*path, "name")), removed, scrubbed)


def _documents(lineage: Record, id: str, path: Path) -> dict[str, Figure]:
    """The documents of each entry of an object of counts."""
    figures = {
        name: lineage.figure(f"{id}.{name}", f"documents: {name}", *path, name, "documents")
        for name in lineage.object(*path)
    }
    return {name: figure for name, figure in figures.items() if figure is not None}
