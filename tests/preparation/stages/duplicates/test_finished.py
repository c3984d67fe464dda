"""New documents against those of a finished dataset."""

from pathlib import Path
from typing import Any

import pytest

import lmcraft
from lmcraft.preparation.contracts import DocumentId, Record
from lmcraft.preparation.stages.duplicates.exact import ExactDuplicates
from lmcraft.preparation.stages.duplicates.near import NearDuplicates
from tests.preparation.stages.duplicates.steps import compare, record, removed, sizes

TEXTS = ["\n".join(f"Line {line} of text {text} says {line * text + line % 7}." for line in range(40)) for text in range(30)]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the first 20 texts, of which some are for validation."""
    folder = tmp_path_factory.mktemp("old")
    for number, text in enumerate(TEXTS[:20]):
        (folder / f"{number:02}.txt").write_text(text)
    lmcraft.prepare(sorted(folder.glob("*.txt")), out=folder / "dataset", vocab_size=400, validation=0.2)
    return folder / "dataset"


def documents() -> list[Record]:
    return [record(place, text.upper() if place % 2 else text, priority=9) for place, text in enumerate(TEXTS[10:])]


@pytest.mark.parametrize("stage", [ExactDuplicates, NearDuplicates])
def test_documents_of_a_finished_dataset_are_removed(stage: Any, old: Path, tmp_path: Path) -> None:
    new = documents()
    verdicts = compare(stage(against=(str(old),)), [new[:7], new[7:]], tmp_path)
    assert sorted(removed(verdicts)) == list(range(10))
    assert sizes(verdicts) == {}
    matches = {verdict.match[:2] for verdict in verdicts.values() if verdict.match}
    assert matches <= {(-1, 0), (-1, 1)}
    assert all(f"of {old}" in verdict.evidence for verdict in verdicts.values())


def test_a_dataset_that_was_cut_to_ranges_is_the_same(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare(NearDuplicates(against=(str(old),)), [documents()], tmp_path / "whole")
    monkeypatch.setattr("lmcraft.preparation.stages.duplicates.finished.UNIT_DOCUMENTS", 3)
    assert compare(NearDuplicates(against=(str(old),)), [documents()], tmp_path / "ranges") == whole


def test_a_changed_dataset_has_other_units(old: Path, tmp_path: Path) -> None:
    stage = NearDuplicates(against=(str(old),))
    before = [unit.key for unit in stage.steps()[0].units({})]
    fingerprint = stage.fingerprint()
    manifest = old / "manifest.json"
    text = manifest.read_text()
    try:
        manifest.write_text(text + " ")
        assert not set(before) & {unit.key for unit in stage.steps()[0].units({})}
        assert stage.fingerprint() != fingerprint
    finally:
        manifest.write_text(text)


def test_several_datasets(old: Path, tmp_path: Path) -> None:
    verdicts = compare(ExactDuplicates(against=(str(old), str(old))), [documents()], tmp_path)
    assert {verdict.match.source for verdict in verdicts.values() if verdict.match} == {-1}
    assert DocumentId(0, 0, 0) in verdicts
