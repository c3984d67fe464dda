"""What a preparation did, from the tallies of its units: per source, language and reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmcraft.data.documents import count_noun
from lmcraft.preparation.contracts import JsonObject, Tally, UnitResult
from lmcraft.preparation.counting import GROUPS, PERSONAL_DATA, TASK_ITEMS
from lmcraft.preparation.recipe import Recipe

READ, OUTPUT = "read", "output"  # count what the sources hold, and what the dataset holds
LICENSES = "licenses"  # of the documents of the dataset
MAX_REASONS = 3  # in a sentence
KINDS = ("in", "kept", "changed", "removed")


def stage_counts(tally: Tally, stage: str) -> JsonObject:
    """By source and language: documents and bytes that came in, were kept, changed and removed, and these by reason."""
    counts: JsonObject = {}
    for name, count in _below(tally.counts, stage):
        if "/" not in name:  # a count of the stage's own, such as compared-with-first-only
            continue
        source, language, kind, *reason, unit = name.split("/")
        entry = counts.setdefault(source, {}).setdefault(language, {})
        if reason:
            entry = entry.setdefault("reasons", {})
            kind = "/".join(reason)
        entry.setdefault(kind, {})[unit] = count
    return counts


def add_up(counts: Mapping[str, Mapping[str, JsonObject]]) -> JsonObject:
    """The counts of all sources and languages together."""
    total: JsonObject = {kind: {"documents": 0, "bytes": 0} for kind in KINDS} | {"reasons": {}}
    for entry in (entry for languages in counts.values() for entry in languages.values()):
        for kind in KINDS:
            _add(total[kind], entry.get(kind, {}))
        for reason, numbers in entry.get("reasons", {}).items():
            _add(total["reasons"].setdefault(reason, {"documents": 0, "bytes": 0}), numbers)
    return total


def group_counts(tally: Tally, name: str) -> JsonObject:
    """Documents and bytes by a name, such as that of a license, the largest first."""
    groups: JsonObject = {}
    for key, count in _below(tally.counts, name):
        group, _, unit = key.rpartition("/")
        groups.setdefault(group, {})[unit] = count
    return dict(sorted(groups.items(), key=lambda group: (-group[1].get("bytes", 0), group[0])))


def attribute_counts(recipe: Recipe, tally: Tally) -> JsonObject:
    """By attribute and group: documents and bytes before the stages that know it, afterwards, and removed by each stage."""
    counts: JsonObject = {}
    for name, count in _below(tally.counts, GROUPS):
        stage, attribute, *group, kind, unit = name.split("/")
        entry = counts.setdefault(attribute, {}).setdefault("/".join(group), {})
        entry.setdefault(stage, {}).setdefault(kind, {})[unit] = count
    stages = [stage.name for stage in recipe.stage]
    summary: JsonObject = {}
    for attribute, groups in counts.items():
        first = next(stage for stage in (*stages, OUTPUT) if any(stage in entry for entry in groups.values()))
        for group, entry in groups.items():
            before, after = entry.get(first, {}).get("in", {}), entry.get(OUTPUT, {}).get("kept", {})
            removed = {stage: entry[stage]["removed"] for stage in stages if "removed" in entry.get(stage, {})}
            nothing = {"documents": 0, "bytes": 0}
            row = {"before": nothing | before, "after": nothing | after, "removed": removed}
            summary.setdefault(attribute, {})[group] = row
    return summary


def languages_of(counts: Mapping[str, Mapping[str, JsonObject]]) -> JsonObject:
    """Documents and bytes that were kept by language, the largest first."""
    languages: JsonObject = {}
    for entries in counts.values():
        for language, entry in entries.items():
            _add(languages.setdefault(language, {"documents": 0, "bytes": 0}), entry.get("kept", {}))
    return dict(sorted(languages.items(), key=lambda language: (-language[1]["bytes"], language[0])))


def personal_data(stage: str, tally: Tally) -> JsonObject:
    """By kind of personal data: documents that had some and values that a stage scrubbed, in all and by source."""
    kinds: JsonObject = {}
    for name, count in _below(tally.counts, f"{PERSONAL_DATA}/{stage}"):
        source, kind, unit = name.split("/")
        entry = kinds.setdefault(kind, {"documents": 0, "values": 0, "sources": {}})
        entry[unit] += count
        entry["sources"].setdefault(source, {})[unit] = count
    return dict(sorted(kinds.items(), key=lambda kind: (-kind[1]["values"], kind[0])))


def decontamination(recipe: Recipe, tally: Tally, results: Mapping[str, Sequence[UnitResult]]) -> JsonObject:
    """By stage: the tasks that were checked, with the number of their items in the text, and those that were not."""
    stages: JsonObject = {}
    for stage in recipe.stage:
        if stage.kind != "decontaminate" or not results.get(f"resource/{stage.name}"):
            continue
        [built] = results[f"resource/{stage.name}"]
        present: dict[str, int] = {}
        for name, _ in _below(tally.counts, f"{TASK_ITEMS}/{stage.name}"):
            task = name.partition("/")[0]
            present[task] = present.get(task, 0) + 1
        tasks = [
            {
                "task": task["name"],
                "items": task["items"],
                "checked": task["indexed"],
                "present": present.get(task["name"], 0),
            }
            for task in built.values["tasks"]
        ]
        stages[stage.name] = {"tasks": tasks, "not_checked": built.values["skipped"]}
    return stages


def explain_empty(recipe: Recipe, tally: Tally) -> str:
    """Why no document is left, with the most frequent reasons, and what to change."""
    causes, remedies = [], []
    for name in ("malformed", "poisoned"):
        if reasons := dict(_below(tally.counts, name)):
            [(_, first), *_] = tally.examples[name]
            subjects = ("row", "rows") if name == "malformed" else ("file or document", "files or documents")
            counted = count_noun(sum(reasons.values()), *subjects)
            example = f"{first['file']}:{first['line']}" if first.get("line") else first["file"]
            causes.append(f"{counted} could not be used ({_most_frequent(reasons)}; such as {example})")
            lacks_field = any("field" in reason for reason in reasons)
            remedies.append("set text_field of the source" if lacks_field else "check the sources")
    losses: dict[str, int] = {}
    for stage in recipe.stage:
        total = add_up(stage_counts(tally, stage.name))
        if removed := total["removed"]["documents"]:
            reasons = {reason: numbers["documents"] for reason, numbers in total["reasons"].items()}
            documents = f"{removed:,} of {count_noun(total['in']['documents'], 'document', 'documents')}"
            causes.append(f"stage '{stage.name}' removed {documents} ({_most_frequent(reasons)})")
            losses[stage.name] = removed
    if losses:
        remedies.append(f"loosen stage '{max(losses, key=lambda name: losses[name])}', or leave it out")
    if not causes:
        return "the sources hold no text: check their paths"
    return f"{', '.join(causes)}; {' or '.join(dict.fromkeys(remedies))}"


def _most_frequent(reasons: Mapping[str, int]) -> str:
    """The reasons with the largest counts."""
    ranked = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    return ", ".join(f"{' '.join(reason.split())}: {reasons[reason]:,}" for reason in ranked[:MAX_REASONS])


def _below(counts: Mapping[str, int], prefix: str) -> Iterator[tuple[str, int]]:
    """The counts whose names begin with a prefix, without it, in the order of the names."""
    for name in sorted(counts):
        if name.startswith(f"{prefix}/"):
            yield name[len(prefix) + 1 :], counts[name]


def _add(total: dict[str, int], numbers: Mapping[str, Any]) -> None:
    for unit, number in numbers.items():
        total[unit] = total.get(unit, 0) + number
