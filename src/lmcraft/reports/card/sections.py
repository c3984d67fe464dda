"""The sections of a model card, as Markdown. Each number is a link to the file that it stands in."""

from collections.abc import Mapping, Sequence

from lmcraft.reports.card.limits import limits
from lmcraft.reports.card.markdown import bullets, code, escape, link, paragraphs, table
from lmcraft.reports.card.measurements import energy_section, evaluation_section, safety_section
from lmcraft.reports.card.metadata import HUB_ADDRESS, describe_license, repository_of
from lmcraft.reports.card.privacy import privacy_section
from lmcraft.reports.card.usage import usage
from lmcraft.reports.card.values import capped, percent, value_of
from lmcraft.reports.evidence import Change, Dataset, Evidence, Figure, Parent

MAX_NAMED = 8  # of the datasets of a parent
COMMANDS = ("pretrain", "finetune", "quantize", "export", "pull")
SETTINGS = (
    *(
        "data",
        "model",
        "objective",
        "max_steps",
        "max_tokens",
        "epochs",
        "batch_size",
        "sequence_length",
        "seed",
        "precision",
    ),
    *("optimizer.name", "optimizer.learning_rate", "optimizer.weight_decay", "schedule.name"),
    *("method.name", "method.rank", "method.alpha", "method.base_weights"),
)
PATHS = ("data", "model")  # of which only the last part is shown, since it names nobody's folders


def write_card(evidence: Evidence) -> str:
    """lmcraft's part of a card."""
    sections = {
        "How to use it": usage(evidence),
        "Model": _model(evidence),
        "Training data": _data(evidence),
        "Training": _training(evidence),
        "Evaluation": evaluation_section(evidence),
        "Safety": safety_section(evidence),
        "Privacy": privacy_section(evidence),
        "Energy and emissions": energy_section(evidence),
        "Limits": bullets(limits(evidence)),
        "Not measured, not stated": bullets(missing.sentence for missing in evidence.missing),
        "Lineage": _lineage(evidence),
    }
    return paragraphs(
        "<!-- lmcraft writes this part again after each command. Write your own text above or below it. -->",
        _summary(evidence),
        *(f"## {title}\n\n{text}" for title, text in sections.items() if text),
        "Every number above is a link to the file that it comes from. `lmcraft report . --verify` compares the numbers with "
        "the files, and the files with their hashes.",
    )


def _summary(evidence: Evidence) -> str:
    kind = {"text-generation": "language model", "text-classification": "text classifier", "reward": "reward model"}[
        evidence.kind
    ]
    size = "" if evidence.architecture is None else f" with {value_of(evidence.architecture.parameters)} parameters"
    base = next((parent for parent in evidence.parents if parent.role == "base"), None)
    name = (_name(base) if base is not None else "") or "another model"
    if evidence.quantization is not None:
        return f"A {kind}{size}: {name}, quantized to {evidence.quantization.bits} bits per weight with lmcraft."
    if evidence.training is not None and evidence.training.command == "finetune":
        if evidence.is_adapter:
            return f"An adapter, trained with lmcraft, that makes a {kind}{size} of {name}."
        return f"A {kind}{size}, fine-tuned from {name} with lmcraft."
    if evidence.training is not None:
        return f"A {kind}{size}, trained from scratch with lmcraft."
    if evidence.made_by == "export" and base is not None:
        return f"A {kind}{size}, exported from {name} with lmcraft."
    return f"A {kind}{size}{_downloaded(evidence)}."


def _downloaded(evidence: Evidence) -> str:
    """Where the model was downloaded from, as the end of a sentence; empty if it was not."""
    repository = repository_of(evidence.address)
    if repository:
        return f", downloaded from {link(escape(repository), HUB_ADDRESS + repository)}"
    return f", downloaded from {code(evidence.address)}" if evidence.address.startswith("pypi:") else ""


def _name(parent: Parent) -> str:
    """A model's name, as a link if it is on the hub."""
    repository = repository_of(parent.source) or repository_of(parent.address)
    return link(escape(repository), HUB_ADDRESS + repository) if repository else code(parent.name) if parent.name else ""


def _model(evidence: Evidence) -> str:
    rows = []
    if evidence.architecture is not None:
        rows += [[escape(name), escape(value)] for name, value in evidence.architecture.rows.items()]
        chats = "yes" if evidence.architecture.has_chat_template else "no"
        rows += [["chat template", chats]] if evidence.kind == "text-generation" else []
    if evidence.is_adapter:
        rows.append(["form", "adapter: it needs its base model"])
    rows.append(["license", describe_license(evidence)])
    return paragraphs(table(["", ""], rows), _quantization(evidence))


def _quantization(evidence: Evidence) -> str:
    quantization = evidence.quantization
    if quantization is None:
        return ""
    count = next((figure.count for figure in quantization.figures if figure.count is not None), None)
    where = f" {code(quantization.text)}" if quantization.text else " the calibration text"
    size = "" if count is None else f", {count:,} tokens"
    method = f"{quantization.bits} bits per weight, {escape(quantization.method)}"
    rows = [[escape(figure.name), value_of(figure)] for figure in quantization.figures]
    return paragraphs(f"What quantization cost ({method}), measured on{where}{size}:", table(["figure", "value"], rows))


def _data(evidence: Evidence) -> str:
    if not evidence.datasets:
        return "The folder does not record what the weights were trained on."
    return paragraphs(*map(_dataset, evidence.datasets))


def _dataset(dataset: Dataset) -> str:
    name = code(dataset.name) if dataset.name else "a dataset"
    counts = [
        f"{value_of(figure)} {unit}"
        for figure, unit in (
            (dataset.tokens, "tokens"),
            (dataset.documents, "documents"),
            (dataset.validation_tokens, "tokens held out for validation"),
        )
        if figure is not None
    ]
    head = f"{escape(dataset.role, 80).capitalize()}: {name}" + (f", {', '.join(counts)}." if counts else ".")
    rows = [
        [
            escape(source.name),
            _license_name(source.license, dataset),
            value_of(source.documents) if source.documents else "",
            value_of(source.bytes) if source.bytes else "",
            percent(source.share) if source.share else "",
            value_of(source.epochs) if source.epochs else "",
        ]
        for source in dataset.sources
    ]
    head_row = ["source", "license", "documents", "bytes", "share of the run", "epochs"]
    used = [column for column in range(len(head_row)) if any(row[column] for row in rows)]
    file = next((figure.file for source in dataset.sources for figure in (source.documents, source.bytes) if figure), "")
    shown = [[row[column] for column in used] for row in rows]
    sources = table([head_row[column] for column in used], capped(shown, len(used), file))
    return paragraphs(
        head,
        sources,
        _listed("Documents by license", dataset.licenses),
        _listed("Documents by language", dataset.languages),
        _stages(dataset),
    )


def _license_name(license_name: str, dataset: Dataset) -> str:
    if license_name:
        return escape(license_name, 80)
    return "see below" if dataset.licenses else "not stated"


def _listed(title: str, figures: Mapping[str, Figure], limit: int = 20) -> str:
    if not figures:
        return ""
    entries = [f"{escape(name or 'not stated', 80)} {value_of(figure)}" for name, figure in list(figures.items())[:limit]]
    more = f" and {len(figures) - limit:,} more" if len(figures) > limit else ""
    return f"{title}: {', '.join(entries)}{more}."


def _stages(dataset: Dataset) -> str:
    rows = [
        [escape(stage.name), escape(stage.kind), value_of(stage.removed)]
        for stage in dataset.stages
        if stage.removed is not None and stage.removed.value
    ]
    return paragraphs("What the preparation removed:", table(["stage", "kind", "documents"], rows)) if rows else ""


def _training(evidence: Evidence) -> str:
    training = evidence.training
    if training is None:
        return ""
    figures = training.figures
    formats = {"peak_memory": lambda value: f"{value / 2**30:.2f} GiB", "seconds": lambda value: f"{value:,.0f} s"}
    names = {"seconds": "time", "peak_memory": "memory at most"}
    rows = [
        [escape(names.get(key, figure.name)), value_of(figure, formats[key](figure.value) if key in formats else "")]
        for key, figure in figures.items()
    ]
    rows += [["machine", escape(training.machine)]] if training.machine else []
    rows += [["starts", f"{training.starts:,}"]] if training.starts > 1 else []
    state = ""
    if training.state in ("paused", "stopped", "failed"):
        state = f"The run is {escape(training.state)}; the figures are those of its steps so far."
    command = f"`lmcraft {training.command}`" + (f", objective {code(training.objective)}" if training.objective else "")
    report = link("the report", "lmcraft/report.html")
    settings = (
        f"Trained with {command}. All settings are in {link('run.toml', training.settings_file)}, the curves in {report}."
    )
    return paragraphs(
        settings, state, table(["", ""], rows), table(["setting", "value"], _settings(training.settings)), _tuning(evidence)
    )


def _settings(settings: Mapping[str, object]) -> list[list[str]]:
    """The settings that say most about a run."""
    rows = []
    for name in SETTINGS:
        value: object = settings
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value in (None, "", 0, [], False) or isinstance(value, dict):
            continue
        entries = value if isinstance(value, list) else [value]
        text = ", ".join(_last_part(entry) if name in PATHS else str(entry) for entry in entries)
        rows.append([code(name), escape(text, 120)])
    return rows


def _last_part(path: object) -> str:
    return str(path).rstrip("/").rpartition("/")[2]


def _tuning(evidence: Evidence) -> str:
    rows = [_change(change) for change in evidence.tuning]
    return paragraphs("On held-out data, before and after:", table(["measure", "before", "after"], rows)) if rows else ""


def _change(change: Change) -> list[str]:
    return [
        escape(change.name),
        value_of(change.before) if change.before else "",
        value_of(change.after) if change.after else "",
    ]


def _lineage(evidence: Evidence) -> str:
    if not evidence.lineage_sha256:
        return "The folder has no lineage."
    lines = [f"This model: lineage {link(code(evidence.lineage_sha256[:16]), 'lmcraft/lineage.json')}"]
    if evidence.made_by in COMMANDS:
        lines[0] += f", written by `lmcraft {evidence.made_by}`"
    lines += _ancestors(evidence.parents, "")
    for dataset in evidence.datasets:
        role, name = escape(dataset.role, 80).capitalize(), code(dataset.name or "data")
        digest = f"manifest {code(dataset.manifest_sha256[:16])}" if dataset.manifest_sha256 else code(dataset.sha256[:16])
        lines.append(f"{role}: {name}, {digest}")
    return bullets(lines)


def _ancestors(parents: Sequence[Parent], of: str) -> list[str]:
    lines = []
    for parent in parents:
        made = f", made by `lmcraft {parent.made_by}`" if parent.made_by in COMMANDS else ""
        terms = f", license {escape(parent.license, 80)}" if parent.license else ""
        name = _name(parent) or "a model"
        data = f" from {', '.join(map(code, parent.data[:MAX_NAMED]))}" if made and parent.data else ""
        role, digest = escape(parent.role, 80).capitalize(), code(parent.sha256[:16])
        lines.append(f"{role}{of}: {name}{made}{data}{terms}, lineage {digest}")
        lines += _ancestors(parent.parents, f" of {name}")
    return lines
