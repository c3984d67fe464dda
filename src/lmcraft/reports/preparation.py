"""The page of a prepared dataset: `report.html`, a single file that opens offline, from the manifest and the examples."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, write_text
from lmcraft.json_lines import parse_json
from lmcraft.preparation.output.histograms import SAMPLED
from lmcraft.preparation.output.manifest import STAGES
from lmcraft.preparation.output.summary import OUTPUT, READ
from lmcraft.reports.language import say
from lmcraft.reports.preparation_charts import flow_chart, length_chart, measure_charts
from lmcraft.reports.preparation_groups import groups_section
from lmcraft.reports.table import html_table, key_value_rows
from lmcraft.reports.template import fill_bilingual
from lmcraft.terminal import format_bytes, format_duration

if TYPE_CHECKING:
    from lmcraft.preparation.dry_run import Forecast

HASH_CHARACTERS = 12  # shown of a SHA-256
MAX_SKIPPED_SHOWN = 20
MAX_CLUSTER_ROWS = 20

JsonObject = Mapping[str, Any]
Counts = Mapping[str, int]
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def write_preparation(folder: DatasetFolder, page: Path | None = None, forecast: "Forecast | None" = None) -> Path:
    """Write the page of a dataset folder.

    Args:
        folder: written by `lmcraft prepare` from a recipe.
        page: the file to write; None: `report.html` in the folder.
        forecast: of a dry run, whose folder holds a sample.

    Raises:
        UserError: this is no dataset folder, or it was not prepared from a recipe.
    """
    manifest = folder.manifest()
    if "recipe" not in manifest:
        raise UserError(
            f"'{folder.path}' was not prepared from a recipe, so that there is nothing to report: prepare it from one"
        )
    examples = [parse_json(line) for line in gzip.decompress((folder.path / STAGES).read_bytes()).splitlines()]
    page = page or folder.path / "report.html"
    sources = ", ".join(source["source"] for source in manifest["sources"])  # the folder still has a temporary name
    skipped = folder.skipped.read_bytes().splitlines()[:MAX_SKIPPED_SHOWN] if folder.skipped.exists() else []

    def build() -> dict[str, str]:
        return {
            "title": escape(
                say("Dataset of {sources}", sources=sources)
                if forecast is None
                else say("Dry run of {sources}", sources=sources)
            ),
            "facts": key_value_rows(_facts(manifest)),
            "forecast": _forecast(forecast) if forecast else "",
            "flow": flow_chart(manifest["stages"]),
            "sources": html_table(*_source_table(manifest)),
            "losses": _losses(manifest, [parse_json(line) for line in skipped]),
            "stages": "".join(_stage(stage, examples, manifest["histograms"]) for stage in manifest["stages"]),
            "duplicates": _duplicates(manifest["duplicates"]),
            "tasks": _tasks(manifest["decontamination"]),
            "attributes": groups_section(manifest["attributes"]),
            "languages": _grouped(say("language"), manifest["languages"]),
            "licenses": _grouped(say("license"), manifest["licenses"]),
            "lengths": length_chart(manifest["histograms"], READ, OUTPUT),
            "parts": _parts(manifest["parts"]),
            "recipe": escape(tomli_w.dumps(manifest["recipe"])),
            "versions": key_value_rows(manifest["versions"]),
        }

    write_text(page, fill_bilingual("preparation.html", build))
    return page


def _facts(manifest: JsonObject) -> dict[str, str]:
    sources = manifest["sources"]
    read = {unit: sum(source[unit] for source in sources) for unit in ("documents", "bytes")}
    kept = {unit: sum(source["kept"][unit] for source in sources) for unit in ("documents", "bytes")}
    facts = {
        say("came in"): _say_size(read),
        say("kept"): _say_size(kept) + _share(kept["bytes"], read["bytes"]),
    }
    for name, split in manifest["splits"].items():
        label = say("training") if name == "train" else say("validation")
        facts[label] = say("{n} documents, {tokens} tokens", n=f"{split['documents']:,}", tokens=f"{split['tokens']:,}")
    facts[say("vocabulary")] = say("{n} tokens", n=f"{manifest['vocab_size']:,}")
    return facts


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""


def _forecast(forecast: "Forecast") -> str:
    summary = say(
        "This is a dry run on {sample} of {total}. The whole takes about {time} with {workers} workers, and about {disk} of "
        "disk while it runs. A sample shows too few near-duplicates: pairs grow with the square of the size.",
        sample=format_bytes(forecast.sample_bytes),
        total=format_bytes(forecast.total_bytes),
        time=format_duration(forecast.seconds),
        workers=forecast.workers,
        disk=format_bytes(forecast.disk_bytes),
    )
    rows = [
        [
            step.name,
            format_duration(step.sample_seconds),
            _speed(step.sample_bytes, step.sample_seconds),
            format_duration(step.seconds),
        ]
        for step in forecast.steps
    ]
    head = [say("step"), say("time of the sample"), say("speed of one worker"), say("time of the whole")]
    return f"<h2>{say('Forecast')}</h2><p>{escape(summary)}</p>{html_table(head, rows)}"


def _speed(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:,.1f} MB/s" if size and seconds else ""


def _source_table(manifest: JsonObject) -> Table:
    rows = [
        [
            source["source"],
            source["license"] or say("not stated"),
            f"{source['files']:,} ({', '.join(source['formats'])})",
            _say_size(source),
            _say_size(source["kept"]) + _share(source["kept"]["bytes"], source["bytes"]),
            source["sha256"][:HASH_CHARACTERS],
        ]
        for source in manifest["sources"]
    ]
    return [say("source"), say("license"), say("files"), say("came in"), say("kept"), "SHA-256"], rows


def _say_size(counts: JsonObject) -> str:
    return say("{n} documents, {size}", n=f"{counts['documents']:,}", size=format_bytes(counts["bytes"]))


def _losses(manifest: JsonObject, skipped: Sequence[JsonObject]) -> str:
    """What could not be read."""
    malformed, poisoned = manifest["malformed"], manifest["poisoned"]
    reasons = {**malformed["reasons"], **poisoned["reasons"]}
    facts = {
        say("files left out"): manifest["skipped_files"],
        say("malformed rows"): malformed["count"],
        say("documents that ended a worker"): poisoned["documents"],
        say("invalid bytes replaced"): manifest["invalid_bytes"],
    }
    shown = {name: f"{count:,}" for name, count in facts.items() if count} | {why: f"{n:,}" for why, n in reasons.items()}
    if not shown and not skipped:
        return f"<p>{say('Everything could be read.')}</p>"
    rows = [
        [str(row.get("file") or row.get("name") or ""), str(row.get("line") or ""), str(row["reason"])] for row in skipped
    ]
    listed = html_table([say("file"), say("line"), say("reason")], rows) if rows else ""
    summary = say("Files, rows and documents that were left out, the first {n}", n=len(rows))
    details = f"<details><summary>{escape(summary)}</summary>{listed}</details>" if rows else ""
    return f"<h3>{say('What could not be read')}</h3><table>{key_value_rows(shown)}</table>{details}"


def _stage(stage: JsonObject, examples: Sequence[JsonObject], histograms: Mapping[str, list[int]]) -> str:
    total = stage["total"]
    came_in, removed = total["in"], total["removed"]
    summary = say(
        "{n} documents, {size}; removed: {removed}{share}, {removed_size}{size_share}; changed: {changed}.",
        n=f"{came_in['documents']:,}",
        size=format_bytes(came_in["bytes"]),
        removed=f"{removed['documents']:,}",
        share=_share(removed["documents"], came_in["documents"]),
        removed_size=format_bytes(removed["bytes"]),
        size_share=_share(removed["bytes"], came_in["bytes"]),
        changed=f"{total['changed']['documents']:,}",
    )
    settings = ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in stage["settings"].items())
    title = stage["name"] if stage["name"] == stage["kind"] else f"{stage['name']} ({stage['kind']})"
    parts = [f"<h3>{escape(title)}</h3>", f"<p><code>{escape(settings)}</code></p>" if settings else "", f"<p>{summary}</p>"]
    if total["reasons"]:
        parts += [html_table(*_reason_table(total)), html_table(*_origin_table(stage["counts"]))]
    if personal_data := stage.get("personal_data"):
        parts.append(html_table(*_personal_data_table(personal_data)))
    for reason in _by_count(total["reasons"]):
        own = [example for example in examples if (example["stage"], example["reason"]) == (stage["name"], reason)]
        parts.append(_examples(reason, own, total["reasons"][reason]["documents"]))
    charts = measure_charts(histograms, stage["name"])
    if charts:
        label = say("Measurements (of rules: of one document in {n}); the dashed line is the threshold", n=SAMPLED)
        parts.append(f"<details><summary>{label}</summary>{charts}</details>")
    return "".join(parts)


def _by_count(groups: Mapping[str, Counts]) -> list[str]:
    return sorted(groups, key=lambda name: (-groups[name]["documents"], name))


def _reason_table(total: JsonObject) -> Table:
    rows = []
    for reason in _by_count(total["reasons"]):
        documents, size = total["reasons"][reason]["documents"], total["reasons"][reason]["bytes"]
        share = _share(documents, total["in"]["documents"]).strip(" ()")
        rows.append([reason, f"{documents:,}", share, format_bytes(size)])
    return [say("reason"), say("documents"), say("share of documents"), say("text removed")], rows


def _personal_data_table(kinds: Mapping[str, JsonObject]) -> Table:
    rows = [[kind, f"{entry['documents']:,}", f"{entry['values']:,}"] for kind, entry in kinds.items()]
    return [say("kind of personal data"), say("documents"), say("values")], rows


def _origin_table(counts: Mapping[str, Mapping[str, JsonObject]]) -> Table:
    rows = []
    for source, languages in counts.items():
        for language, entry in languages.items():
            came_in, removed = (entry.get(kind, {"documents": 0, "bytes": 0}) for kind in ("in", "removed"))
            share = _share(removed["documents"], came_in["documents"])
            rows.append(
                [
                    source,
                    language,
                    f"{came_in['documents']:,}",
                    f"{removed['documents']:,}{share}",
                    format_bytes(removed["bytes"]),
                ]
            )
    return [say("source"), say("language"), say("documents"), say("documents removed"), say("text removed")], rows


def _examples(reason: str, examples: Sequence[JsonObject], documents: int) -> str:
    summary = say("{reason}: {shown} of {n} documents", reason=reason, shown=len(examples), n=f"{documents:,}")
    return f"<details><summary>{escape(summary)}</summary>{''.join(map(_example, examples))}</details>"


def _example(example: JsonObject) -> str:
    origin = example["name"] + (f":{example['line']}" if example["line"] else "")
    facts = [f"{origin} ({example['source']}, {example['language']})"]
    if example["value"] is not None:
        facts.append(say("value {value}", value=f"{example['value']:.4g}"))
    if example["threshold"] is not None:
        facts.append(say("threshold {threshold}", threshold=f"{example['threshold']:.4g}"))
    if example["match"] is not None:
        facts.append(say("repeats document {document}", document="/".join(map(str, example["match"]))))
    after = f"<p>{say('Afterwards:')}</p><pre>{escape(example['after'])}</pre>" if "after" in example else ""
    return f"<p>{escape('; '.join(facts))}</p><pre>{_marked(example['excerpt'], example['evidence'])}</pre>{after}"


def _marked(excerpt: str, evidence: str) -> str:
    """An excerpt as HTML, in which the evidence is marked where it first occurs."""
    before, marked, after = excerpt.partition(evidence) if evidence else (excerpt, "", "")
    return escape(before) + (f"<mark>{escape(marked)}</mark>" if marked else "") + escape(after)


def _duplicates(stages: Mapping[str, JsonObject]) -> str:
    parts = []
    for stage, summary in stages.items():
        rows = [[row["source"], row["repeats"], f"{row['documents']:,}"] for row in summary["sources"]]
        head = [say("documents of"), say("repeat documents of"), say("documents")]
        parts.append(f"<h3>{escape(say('Duplicates: {stage}', stage=stage))}</h3>{html_table(head, rows)}")
        sizes = list(summary["cluster_sizes"].items())
        if sizes:
            rows = [[size, f"{count:,}"] for size, count in sizes[:MAX_CLUSTER_ROWS]]
            if rest := sum(count for _, count in sizes[MAX_CLUSTER_ROWS:]):
                rows.append([say("larger"), f"{rest:,}"])
            parts.append(html_table([say("documents alike"), say("groups")], rows))
    return "".join(parts)


def _tasks(stages: Mapping[str, JsonObject]) -> str:
    parts = []
    for stage, summary in stages.items():
        rows = [
            [task["task"], *(f"{task[name]:,}" for name in ("items", "checked", "present"))] for task in summary["tasks"]
        ]
        head = [say("task"), say("items"), say("long enough to check"), say("in the text")]
        parts.append(f"<h3>{escape(say('Items of tasks: {stage}', stage=stage))}</h3>{html_table(head, rows)}")
        if summary["not_checked"]:
            lost = [[entry["task"], entry["reason"]] for entry in summary["not_checked"]]
            parts.append(
                f"<p>{say('These tasks could not be checked:')}</p>{html_table([say('task'), say('reason')], lost)}"
            )
    return "".join(parts)


def _grouped(title: str, groups: Mapping[str, Counts]) -> str:
    whole = sum(entry["bytes"] for entry in groups.values())
    rows = [
        [name or say("not stated"), f"{entry['documents']:,}", format_bytes(entry["bytes"]) + _share(entry["bytes"], whole)]
        for name, entry in groups.items()
    ]
    return html_table([title, say("documents"), say("text")], rows)


def _parts(parts: Sequence[JsonObject]) -> str:
    head = [
        say("part"),
        say("split"),
        say("documents"),
        say("tokens"),
        say("bytes per token"),
        say("shards and their SHA-256"),
    ]
    return f"<h3>{say('Parts and shards')}</h3>{html_table(head, list(_part_rows(parts)))}"


def _part_rows(parts: Sequence[JsonObject]) -> Iterator[list[str]]:
    for part in parts:
        for split in ("train", "validation"):
            if entry := part.get(split):
                shards = ", ".join(f"{shard['file']} {shard['sha256'][:HASH_CHARACTERS]}" for shard in entry["shards"])
                label = say("training") if split == "train" else say("validation")
                rate = f"{entry['bytes'] / max(entry['tokens'], 1):.2f}"
                yield [part["name"], label, f"{entry['documents']:,}", f"{entry['tokens']:,}", rate, shards]
