"""What a preparation did, from the tallies of its units: per source, language and reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmcraft.preparation.contracts import JsonObject, Tally, UnitResult
from lmcraft.preparation.counting import TASK_ITEMS
from lmcraft.preparation.recipe import Recipe

READ, OUTPUT = "read", "output"  # count what the sources hold, and what the dataset holds
LICENSES = "licenses"  # of the documents of the dataset
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


def languages_of(counts: Mapping[str, Mapping[str, JsonObject]]) -> JsonObject:
    """Documents and bytes that were kept by language, the largest first."""
    languages: JsonObject = {}
    for entries in counts.values():
        for language, entry in entries.items():
            _add(languages.setdefault(language, {"documents": 0, "bytes": 0}), entry.get("kept", {}))
    return dict(sorted(languages.items(), key=lambda language: (-language[1]["bytes"], language[0])))


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


def _below(counts: Mapping[str, int], prefix: str) -> Iterator[tuple[str, int]]:
    """The counts whose names begin with a prefix, without it, in the order of the names."""
    for name in sorted(counts):
        if name.startswith(f"{prefix}/"):
            yield name[len(prefix) + 1 :], counts[name]


def _add(total: dict[str, int], numbers: Mapping[str, Any]) -> None:
    for unit, number in numbers.items():
        total[unit] = total.get(unit, 0) + number
