"""The metadata of a card: what the hub reads, from the evidence."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from lmcraft.preparation.stages.language_codes import LID176, PROGRAMMING
from lmcraft.reports.card.markdown import clean, escape
from lmcraft.reports.card.vocabulary import OTHER_LICENSE, find_license, is_repository, license_names, make_slug
from lmcraft.reports.evidence import Evidence, Figure, Parent, TaskEvaluation
from lmcraft.reports.sections.energy import say_method

MIN_LANGUAGE_SHARE = 0.01  # of a dataset's documents; less is often a wrong guess
HUB = re.compile(r"hf:(?P<repository>[^@#]+)")
LANGUAGES = LID176 | PROGRAMMING  # that a preparation tells apart
# The hub's names of our measures, where it has one.
METRICS = {
    "acc": "accuracy",
    "exact_match": "exact_match",
    "bleu": "bleu",
    "chrf": "chrf",
    "brier": "brier_score",
    "pass_at_1": "pass@1",
    "f1": "f1",
}
TASK_TYPES = {"classification": "text-classification", "translation": "translation", "multiple_choice": "multiple-choice"}
HUB_ADDRESS = "https://huggingface.co/"
SAME_WEIGHTS = ("export", "pull")  # commands whose result is the model that they read, in other files


def make_metadata(evidence: Evidence, has_license_file: bool) -> dict[str, Any]:
    """The metadata of a card.

    Args:
        evidence: of the model folder.
        has_license_file: whether the folder has a LICENSE.
    """
    base = find_base(evidence)
    results = [*_results(evidence)]
    data = ModelCardData(
        language=_language_codes(evidence) or None,
        **_license(evidence, has_license_file),
        library_name=_library(evidence),
        pipeline_tag="text-generation" if evidence.kind == "text-generation" else "text-classification",
        base_model=base or None,
        base_model_relation=_relation(evidence) if base else None,
        datasets=_datasets(evidence) or None,
        tags=_tags(evidence),
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=clean(evidence.name) if results else None,
        eval_results=results or None,
        co2_eq_emissions=_emissions(evidence),
    )
    metadata: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return metadata


def repository_of(address: str) -> str:
    """The repository on the hub at an address; empty if it is none."""
    match = HUB.match(address)
    name = match["repository"] if match else ""
    owner_and_name = "/".join(name.split("/")[:2])
    return owner_and_name if "/" in name and is_repository(owner_and_name) else ""


def find_base(evidence: Evidence) -> str:
    """The base model's repository on the hub; empty if it has none there.

    The hub refuses a card that names another base model, such as a folder.
    """
    if evidence.made_by in SAME_WEIGHTS:
        return ""
    return next((_repository(parent) for parent in evidence.parents if parent.role == "base"), "")


def _repository(parent: Parent) -> str:
    """The repository that a model, or the one that it is a copy of, was downloaded from."""
    repository = repository_of(parent.source) or repository_of(parent.address)
    if repository or parent.made_by not in SAME_WEIGHTS:
        return repository
    return next(map(_repository, parent.parents), "")


def _relation(evidence: Evidence) -> str:
    if evidence.quantization is not None:
        return "quantized"
    return "adapter" if evidence.is_adapter else "finetune"


def _license(evidence: Evidence, has_license_file: bool) -> dict[str, Any]:
    name = find_terms(evidence)
    if not name:
        return {}
    if identifier := find_license(name):
        return {"license": identifier}
    entries = {
        "license": OTHER_LICENSE,
        "license_name": make_slug(name),
        "license_link": "LICENSE" if has_license_file else "",
    }
    return {key: value for key, value in entries.items() if value}


def find_terms(evidence: Evidence) -> str:
    """The license of the weights, or else that of the model that they were made from; empty if nobody stated one."""
    return evidence.license or next((parent.license for parent in evidence.parents if parent.license), "")


def describe_license(evidence: Evidence) -> str:
    """The license, for people, as Markdown."""
    name = find_terms(evidence)
    if not name:
        return "not stated"
    identifier = find_license(name)
    shown = escape(license_names()[identifier] if identifier else name, 120)
    return shown if evidence.license else f"that of the base model: {shown}"


def _library(evidence: Evidence) -> str:
    if evidence.architecture is not None and not evidence.architecture.is_portable:
        return "lmcraft"
    return "peft" if evidence.is_adapter else "transformers"


def _tags(evidence: Evidence) -> list[str]:
    tags = ["lmcraft"]
    if evidence.architecture is not None and evidence.architecture.has_chat_template and evidence.kind == "text-generation":
        tags.append("conversational")
    if evidence.training is not None and evidence.training.command == "finetune":
        tags.append(make_slug(evidence.training.objective))
    return [tag for tag in tags if tag]


def find_languages(evidence: Evidence) -> list[str]:
    """Those of the training data, the most frequent first; without those of so few documents that they may be wrong."""
    counts: Counter[str] = Counter()
    for dataset in evidence.datasets:
        counts.update({name: int(figure.value) for name, figure in dataset.languages.items()})
    least = MIN_LANGUAGE_SHARE * sum(counts.values())
    return [name for name, count in counts.most_common() if name in LANGUAGES and count >= least]


def _language_codes(evidence: Evidence) -> list[str]:
    """The languages as the hub writes them: one word for all languages of programs."""
    names = find_languages(evidence)
    return list(dict.fromkeys("code" if name in PROGRAMMING else name for name in names))


def _datasets(evidence: Evidence) -> list[str]:
    """The datasets that are on the hub; it refuses others."""
    addresses = [dataset.address for dataset in evidence.datasets]
    return list(dict.fromkeys(filter(None, map(repository_of, addresses))))


def _results(evidence: Evidence) -> Iterator[EvalResult]:
    counts = Counter(result.task for result in evidence.evaluations)
    for result in evidence.evaluations:
        for figure in result.figures:
            yield EvalResult(
                task_type=TASK_TYPES.get(result.kind, "text-generation"),
                dataset_type=make_slug(result.task) or "task",
                dataset_name=clean(result.task),
                dataset_args=_settings(result) if counts[result.task] > 1 else None,
                metric_type=METRICS.get(figure.name, clean(figure.name)),
                metric_name=describe_measurement(figure),
                metric_value=figure.value,
            )


def _settings(result: TaskEvaluation) -> dict[str, Any]:
    """What sets a result apart from others of the same task."""
    return {name: value for name, value in result.settings.items() if isinstance(value, str | int | float | bool)}


def describe_measurement(figure: Figure) -> str:
    """The name of a figure with its interval and the number of items, as the hub shows it."""
    details = []
    if figure.low is not None and figure.high is not None:
        details.append(f"95% interval {figure.low:.4g} to {figure.high:.4g}")
    if figure.count is not None:
        details.append(f"{figure.count:,} items")
    return clean(figure.name) + (f" ({', '.join(details)})" if details else "")


def _emissions(evidence: Evidence) -> dict[str, Any] | None:
    """The emissions of the run, in grams, as the hub has them."""
    energy = evidence.energy
    if energy is None or energy.emissions is None:
        return None
    training = evidence.training
    entries: dict[str, Any] = {
        "emissions": energy.emissions.value,
        "source": clean(f"lmcraft: {say_method(energy.method)}; carbon intensity of {energy.year}: {energy.source}"),
        "training_type": "fine-tuning" if training is not None and training.command == "finetune" else "pre-training",
        "geographical_location": "unknown (average of the world's grids)"
        if energy.region == "WORLD"
        else clean(energy.region),
        "hardware_used": clean(training.machine) if training is not None else "",
    }
    return {key: value for key, value in entries.items() if value != ""}
