"""A pass over documents: read them, apply verdicts, run stages, sketch for the next comparison, write what remains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lmcraft.data.words import expect_text
from lmcraft.preparation.contracts import (
    KEEP,
    DocumentId,
    GlobalStage,
    InputFile,
    JsonObject,
    Portion,
    Position,
    Record,
    Stage,
    Tally,
    Verdict,
)
from lmcraft.preparation.counting import Passage, add_count, count_verdict, plain_passage
from lmcraft.preparation.inputs.readers import read_portion
from lmcraft.preparation.output.histograms import count_length, count_measures
from lmcraft.preparation.output.set_aside import SET_ASIDE_DOCUMENTS, SetAsideWriter
from lmcraft.preparation.output.summary import LICENSES, OUTPUT, READ
from lmcraft.preparation.recipe import SourceConfig, StageConfig
from lmcraft.preparation.records import estimate_text_bytes, read_records, write_records
from lmcraft.preparation.stages.catalog import build_stage

NOTHING_LEFT = "nothing-left"  # the reason of documents whose text a stage has removed


def run_pass(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """A unit of a pass.

    Args:
        arguments: `portions` with `files`, `sources` and `document_chars`, or `records`, the key of a unit of an earlier
            pass; `verdicts`, pairs of a stage and the key of its verdicts on them; `stages`, judged one after the other;
            `sketches`, stages that compare documents afterwards; `resources`, the keys of what stages read, by name.
        inputs: the output folders of other units, by key.
        out: gets the records that remain, and a folder for each sketch.
        position: told of each document.
    """
    tally = Tally()
    position.is_timed = not any(
        getattr(_open_global(config), "takes_long", False) for config in _configs(arguments["sketches"])
    )
    expect_text(_size_of_text(arguments, inputs))  # so that nothing is compiled while a document is waited for
    if "portions" in arguments:
        records = _read_sources(arguments, inputs, position, tally)
    else:
        records = _at_position(read_records(inputs[arguments["records"]]), position)
    passage = _open_passage(_configs(arguments.get("scrubbed", ())))
    for stage, key in arguments["verdicts"]:
        config = StageConfig(**stage)
        verdicts = _open_global(config).verdicts(inputs[key])
        records = _apply(records, config, verdicts, tally, passage)
    stages = [(config, _open_stage(config, arguments, inputs)) for config in _configs(arguments["stages"])]
    aside = SetAsideWriter(out)
    records = _judge(records, stages, tally, aside, passage)
    for config in _configs(arguments["sketches"]):
        folder = out / f"sketch-{config.name}"
        folder.mkdir()
        records = _open_global(config).sketch(records, folder)
    if not arguments["sketches"]:  # so this is the last pass
        records = _count_output(records, tally)
    with aside, write_records(out) as writer:
        for record in records:
            writer.write(record)
    set_aside = {SET_ASIDE_DOCUMENTS: aside.documents} if aside.documents else {}
    return tally, {"documents": writer.documents, "bytes": writer.bytes, **set_aside}


def _size_of_text(arguments: JsonObject, inputs: Mapping[str, Path]) -> int:
    """About how many bytes of text a unit reads."""
    if "portions" in arguments:
        return sum(portion["size"] for portion in arguments["portions"])
    return estimate_text_bytes(inputs[arguments["records"]])


def _configs(tables: Sequence[JsonObject]) -> list[StageConfig]:
    return [StageConfig(**table) for table in tables]


def _open_global(config: StageConfig) -> GlobalStage:
    stage: Any = build_stage(config.kind, config.name, config.settings)
    return stage  # type: ignore[no-any-return]


def _open_stage(config: StageConfig, arguments: JsonObject, inputs: Mapping[str, Path]) -> Stage:
    key = arguments["resources"].get(config.name)
    return _cached_stage(_Frozen(config), None if key is None else inputs[key])


def _open_passage(scrubbing: Sequence[StageConfig]) -> Passage:
    """What examples of all stages show of a text, if some stages of the recipe scrub it."""
    if not scrubbing:
        return plain_passage
    from lmcraft.preparation.stages.scrub import Scrub, open_passage

    stages = [build_stage(config.kind, config.name, config.settings) for config in scrubbing]
    return open_passage(stage for stage in stages if isinstance(stage, Scrub))


class _Frozen:
    """A stage's configuration as a key: opened stages are kept from one unit to the next."""

    def __init__(self, config: StageConfig) -> None:
        self.config = config
        self._text = repr(config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(32)
def _cached_stage(frozen: _Frozen, folder: Path | None) -> Stage:
    stage: Any = build_stage(frozen.config.kind, frozen.config.name, frozen.config.settings)
    if folder is not None:
        stage.open(folder)
    return stage  # type: ignore[no-any-return]


def _read_sources(arguments: JsonObject, inputs: Mapping[str, Path], position: Position, tally: Tally) -> Iterator[Record]:
    files = {entry["number"]: InputFile(**entry) for entry in arguments["files"]}
    sources = {int(index): SourceConfig(**table) for index, table in arguments["sources"].items()}
    for portion in (Portion(**table) for table in arguments["portions"]):
        file = files[portion.file]
        source = sources[file.source]
        for record in read_portion(file, portion, source, inputs, arguments["document_chars"], position, tally):
            record.notes["languages"] = list(source.languages)
            if len(source.languages) == 1:
                record.language = source.languages[0]
            size = _size(record.text)
            count_verdict(tally, READ, record, KEEP, size, size)
            count_length(tally, READ, record)
            yield record
    position.at(None)


def _count_output(records: Iterator[Record], tally: Tally) -> Iterator[Record]:
    for record in records:
        size = _size(record.text)
        count_verdict(tally, OUTPUT, record, KEEP, size, size)
        count_length(tally, OUTPUT, record)
        add_count(tally, f"{LICENSES}/{record.license}", size)
        yield record


def _at_position(records: Iterator[Record], position: Position) -> Iterator[Record]:
    for record in records:
        if record.id not in position.skipped:
            position.at(record.id)
            yield record
    position.at(None)


def _apply(
    records: Iterator[Record],
    config: StageConfig,
    verdicts: Mapping[DocumentId, Verdict],
    tally: Tally,
    passage: Passage,
) -> Iterator[Record]:
    for record in records:
        if _accept(record, config, verdicts.get(record.id, KEEP), tally, passage):
            yield record


def _judge(
    records: Iterator[Record],
    stages: Sequence[tuple[StageConfig, Stage]],
    tally: Tally,
    aside: SetAsideWriter,
    passage: Passage,
) -> Iterator[Record]:
    for record in records:
        for config, stage in stages:
            if not config.applies_to(record.notes["source"], record.language):
                continue
            count_measures(tally, config.name, stage, record)
            verdict = stage.judge(record)
            if not _accept(record, config, verdict, tally, passage):
                if verdict.aside is not None:
                    aside.write(record, verdict)
                break
        else:
            yield record


def _accept(record: Record, config: StageConfig, verdict: Verdict, tally: Tally, passage: Passage) -> bool:
    """Carry out and count a verdict; whether the document stays: one that a stage leaves no text of goes."""
    if verdict.text is not None and not verdict.text.strip():
        verdict = replace(verdict, text=None, reason=NOTHING_LEFT)
    size = _size(record.text)
    removed = bool(verdict.reason) and verdict.text is None
    new_size = 0 if removed else size if verdict.text is None else _size(verdict.text)
    count_verdict(tally, config.name, record, verdict, size, new_size, passage)
    if verdict.text is not None:
        record.text, record.words = verdict.text, None
    if verdict.notes:
        record.notes |= verdict.notes
    return not removed


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
