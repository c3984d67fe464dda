"""A preparation that has just ended, as its work folder would be, without running one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import (
    KEEP,
    DocumentId,
    InputFile,
    JsonObject,
    Measurement,
    Record,
    Tally,
    Unit,
    UnitResult,
    Verdict,
)
from lmcraft.preparation.counting import TASK_ITEMS, add_count, count_verdict
from lmcraft.preparation.execution.journal import Journal, total_tally
from lmcraft.preparation.inputs.survey import Survey
from lmcraft.preparation.output import manifest
from lmcraft.preparation.output.histograms import count_length, count_value
from lmcraft.preparation.output.summary import LICENSES, OUTPUT, READ
from lmcraft.preparation.recipe import Recipe, build_recipe

SOURCES = ("wiki", "crawl")
HOSTILE = '<script>alert(1)</script> & <b>"quoted"</b> \ud800'
RECIPE: JsonObject = {
    "source": [
        {"name": "wiki", "paths": ["wiki.txt"], "license": "CC-BY-SA-4.0", "weight": 2.0},
        {"name": "crawl", "paths": ["crawl/*.html"], "epochs": 1.5},
    ],
    "stage": [{"kind": "quality"}, {"kind": "near-duplicates"}, {"kind": "decontaminate"}],
}


@dataclass(frozen=True)
class FakeStage:
    """In place of near-duplicates: one document repeats another, and two documents stand for three."""

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        one, two, three = (DocumentId(source, source, 100) for source in (0, 1, -1))
        return {
            two: Verdict("near-duplicate", value=0.9, threshold=0.8, match=one),
            DocumentId(1, 1, 200): Verdict("near-duplicate", value=1.0, threshold=0.8, match=three),
            one: Verdict(notes={"cluster": 3}),
        }


def fake_stage(kind: str, name: str, settings: Mapping[str, Any]) -> FakeStage:
    assert kind == "near-duplicates"
    return FakeStage()


def make_tally(numbers: Sequence[int]) -> Tally:
    tally = Tally()
    for number in numbers:
        source = number % 2
        notes = {"source": SOURCES[source], "kind": "web"}
        text = f"Document {number}. {HOSTILE} " * (1 + number % 7)
        record = Record(
            DocumentId(source, source, number * 100), text, f"file{source}", 1, ("en", "zh", "")[number % 3], notes=notes
        )
        size = len(text.encode("utf-8", "surrogatepass"))
        count_verdict(tally, READ, record, KEEP, size, size)
        count_length(tally, READ, record)
        count_value(tally, "quality", Measurement("web.en", "symbol_share", (number % 10) / 10, 0.3))
        count_value(tally, "quality", Measurement("web.en", "words", number + 1, 50.0))
        if number % 3 == 0:
            verdict = Verdict("few-words", value=number, threshold=50, evidence=HOSTILE)
            count_verdict(tally, "quality", record, verdict, size, 0)
            continue
        count_verdict(tally, "quality", record, KEEP, size, size)
        if number % 5 == 0:
            match = DocumentId(0, 0, 100)
            verdict = Verdict("near-duplicate", value=0.9, threshold=0.8, match=match)
            count_verdict(tally, "near-duplicates", record, verdict, size, 0)
            continue
        count_verdict(tally, "near-duplicates", record, KEEP, size, size)
        changed = number % 4 == 0
        verdict = Verdict("task-item", text=text[10:], value=1, evidence="Document") if changed else KEEP
        count_verdict(tally, "decontaminate", record, verdict, size, size - 10 if changed else size)
        if changed:
            tally.counts[f"{TASK_ITEMS}/decontaminate/boolq/{number}"] = 1
        count_verdict(tally, OUTPUT, record, KEEP, size, size)
        count_length(tally, OUTPUT, record)
        add_count(tally, f"{LICENSES}/{('CC-BY-SA-4.0', '')[source]}", size)
    tally.counts["malformed/text is missing"] = 2
    tally.examples["malformed"] = [("00", {"file": "crawl/a.html", "line": 3, "reason": "text is missing <i>"})]
    return tally


def finish_unit(journal: Journal, unit: Unit, tally: Tally, values: JsonObject) -> UnitResult:
    result = UnitResult(unit, {}, tally, values, seconds=1.5)
    with journal.writing(unit.key) as folder:
        journal.finish(result, folder)
    return result


def write_output(folder: Path) -> JsonObject:
    """A dataset folder of one shard, and the entries of the manifest about it."""
    folder.mkdir(exist_ok=True)
    for name in ("train-000-00000.npy", "train-000-00000.documents.npy", "tokenizer.json"):
        (folder / name).write_text(json.dumps(name))
    digest, documents = (sha256_of(folder / f"train-000-00000{suffix}") for suffix in (".npy", ".documents.npy"))
    shard = {"file": "train-000-00000.npy", "tokens": 1000, "sha256": digest, "documents_sha256": documents}
    split = {"documents": 10, "tokens": 1000, "bytes": 4000, "lost_bytes": 0, "shards": [shard]}
    part = {"name": "wiki.en", "source": "wiki", "language": "en", "copies": 1, "train": split}
    return {
        "vocab_size": 512,
        "dtype": "uint16",
        "eos_token_id": 0,
        "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
        "splits": {"train": split},
        "parts": [part],
        "special_spellings": {},
    }


@dataclass(frozen=True)
class Finished:
    """What `write_evidence` reads."""

    recipe: Recipe
    surveyed: Survey
    results: dict[str, list[UnitResult]]
    work: Path

    def write(self, folder: Path) -> JsonObject:
        output = write_output(folder)
        tally = total_tally((result for finished in self.results.values() for result in finished), self.work)
        journal = Journal(self.work)
        return manifest.write_evidence(
            folder, self.recipe, self.surveyed, self.results, tally, output, lambda unit: journal.folder(unit.key)
        )


def make_finished(work: Path, numbers: Sequence[Sequence[int]] = (range(60), range(60, 100))) -> Finished:
    """The preparation of documents with these numbers in each unit."""
    recipe = build_recipe({**RECIPE, "stage": [*RECIPE["stage"]]})
    object.__setattr__(recipe.stage[1], "settings", {"against": ["datasets/old"]})
    files = [
        InputFile(0, 0, "wiki.txt", "text", "", 1000, "ab" * 32),
        InputFile(1, 1, "crawl/<b>.html", "html", "", 2000, "cd" * 32, "gb18030"),
    ]
    surveyed = Survey(files, [{"file": "crawl/broken.html", "reason": "empty"}])
    journal = Journal(work)
    journal.clean()
    tasks = [{"name": "boolq", "first": 0, "items": 100, "indexed": 90}]
    values = {"tasks": tasks, "skipped": [{"task": "mmlu", "reason": "no network"}]}

    def units(step: str, number: int) -> Unit:
        return Unit(step, number, "module:function", {"unit": number})

    results = {
        "resource/decontaminate": [finish_unit(journal, units("resource/decontaminate", 0), Tally(), values)],
        "pass-0": [finish_unit(journal, units("pass-0", n), make_tally(each), {}) for n, each in enumerate(numbers)],
        "verdicts/near-duplicates": [finish_unit(journal, units("verdicts/near-duplicates", 0), Tally(), {})],
    }
    return Finished(recipe, surveyed, results, work)
