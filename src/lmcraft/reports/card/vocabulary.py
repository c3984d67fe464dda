"""What the metadata of a model card may say: the hub's identifiers, and a check of metadata against its schema.

The schema is https://github.com/huggingface/hub-docs/blob/main/modelcard.md. The hub checks it when a card is uploaded, and
refuses the upload; `check_metadata` finds the same without a network.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

VOCABULARY = Path(__file__).with_name("hub.toml")
OTHER_LICENSE = "other"
PLAIN_WORDS = ("the", "license", "licence", "version", "international")  # in names of licenses
LANGUAGE = re.compile(r"[a-z]{2,3}")
SPECIAL_LANGUAGES = ("code", "multilingual")
REPOSITORY = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
RELATIONS = ("adapter", "finetune", "merge", "quantized")
SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")


@cache
def _vocabulary() -> Mapping[str, Any]:
    return tomllib.loads(VOCABULARY.read_text(encoding="utf-8"))


def license_names() -> Mapping[str, str]:
    """The full name of each license that the hub knows, by its identifier."""
    names: Mapping[str, str] = _vocabulary()["licenses"]
    return names


def pipeline_tags() -> list[str]:
    """The tasks that the hub knows."""
    tags: list[str] = _vocabulary()["pipeline_tags"]
    return tags


def find_license(name: str) -> str:
    """The hub's identifier of a license, by an identifier of SPDX or a usual name; empty if it has none."""
    key = " ".join(name.split()).casefold()
    licenses, words = license_names(), _words(key)
    for candidate in (key, key.removesuffix("-only"), key.removesuffix("-or-later"), "-".join(words)):
        if candidate in licenses:
            return candidate
    return next((identifier for identifier, full in licenses.items() if words and _words(full.casefold()) == words), "")


def _words(name: str) -> list[str]:
    """The words that tell a license from others."""
    return [word for word in name.replace(",", " ").split() if word not in PLAIN_WORDS]


def make_slug(text: str, length: int = 64) -> str:
    """A text as an identifier of lower-case letters, digits, dots and dashes; empty if nothing of it can be one."""
    return re.sub(r"[^a-z0-9.]+", "-", text.casefold())[:length].strip("-.")


def is_language(code: Any) -> bool:
    """Whether a value is a language as the hub writes them: ISO 639-1, -2 or -3, or one of two special values."""
    return isinstance(code, str) and (LANGUAGE.fullmatch(code) is not None or code in SPECIAL_LANGUAGES)


def is_repository(address: Any) -> bool:
    """Whether a value is the name of a repository on the hub."""
    return (
        isinstance(address, str)
        and REPOSITORY.fullmatch(address) is not None
        and not {"--", ".."} & {*map("".join, pairwise(address))}
    )


def check_metadata(metadata: Mapping[str, Any]) -> list[str]:
    """What the hub would refuse in the metadata of a model card, one sentence each."""
    problems = []
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "license": (lambda value: value in license_names(), "is no license identifier of the hub"),
        "language": (is_language, "is no ISO 639 code of a language, such as en"),
        "pipeline_tag": (lambda value: value in pipeline_tags(), "is no task of the hub"),
        "base_model": (is_repository, "is no model of the hub, such as owner/name"),
        "base_model_relation": (lambda value: value in RELATIONS, f"is none of {', '.join(RELATIONS)}"),
        "datasets": (is_repository, "is no dataset of the hub, such as owner/name"),
        "license_name": (lambda value: bool(SLUG.fullmatch(str(value))), "is not made of a-z, 0-9, dots and dashes"),
        "library_name": (lambda value: isinstance(value, str), "is not a text"),
        "tags": (lambda value: isinstance(value, str), "is not a text"),
        "metrics": (lambda value: isinstance(value, str), "is not a text"),
    }
    for name, (is_valid, problem) in checks.items():
        value = metadata.get(name)
        for entry in value if isinstance(value, list) else [] if value is None else [value]:
            if not is_valid(entry):
                problems.append(f"{name}: {entry!r:.80} {problem}")
    return [*problems, *_check_model_index(metadata.get("model-index")), *_check_emissions(metadata.get("co2_eq_emissions"))]


def _check_model_index(index: Any) -> Iterator[str]:
    if index is None:
        return
    if not isinstance(index, list) or not all(isinstance(entry, dict) for entry in index):
        yield "model-index: it is not a list of objects"
        return
    for entry in index:
        if not isinstance(entry.get("name"), str):
            yield "model-index: it lacks the name of the model"
        results = entry.get("results")
        for result in results if isinstance(results, list) else [None]:
            yield from _check_result(result)


def _check_result(result: Any) -> Iterator[str]:
    if not isinstance(result, dict):
        yield "model-index: its results are not a list of objects"
        return
    task, dataset, metrics = (result.get(key) for key in ("task", "dataset", "metrics"))
    if not isinstance(task, dict) or not isinstance(task.get("type"), str):
        yield "model-index: a result lacks task.type"
    if not isinstance(dataset, dict) or not all(isinstance(dataset.get(key), str) for key in ("type", "name")):
        yield "model-index: a result lacks dataset.type or dataset.name"
    if not isinstance(metrics, list) or not metrics:
        yield "model-index: a result lacks metrics"
        return
    for metric in metrics:
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str) or metric.get("value") is None:
            yield "model-index: a metric lacks its type or its value"


def _check_emissions(value: Any) -> Iterator[str]:
    if value is None:
        return
    grams = value.get("emissions") if isinstance(value, dict) else value
    if not isinstance(grams, int | float) or isinstance(grams, bool) or grams < 0:
        yield "co2_eq_emissions: emissions is not a number of grams"
    if isinstance(value, dict) and not all(isinstance(entry, str) for key, entry in value.items() if key != "emissions"):
        yield "co2_eq_emissions: its other values are not texts"
