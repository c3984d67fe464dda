"""Architecture, samples, settings, and what was not measured."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lmcraft.reports.chinese_model import ARCHITECTURE
from lmcraft.reports.evidence import Evidence, Training
from lmcraft.reports.language import page_language, say
from lmcraft.reports.sections.quantities import link_file, mark_code, say_number
from lmcraft.reports.table import key_value_rows

MAX_SAMPLES = 10
MAX_CHARACTERS = 3000  # shown of a sample
MAX_SETTINGS = 400
MAX_VALUE = 500  # characters shown of a setting


def model_section(evidence: Evidence) -> str:
    """The architecture of the model."""
    architecture = evidence.architecture
    if architecture is None:
        return ""
    rows = {say("parameters"): say_number(architecture.parameters.value)}
    rows |= {say(name): say_architecture(value) for name, value in architecture.rows.items()}
    return f"<table>{key_value_rows(rows)}</table>"


def say_architecture(value: str) -> str:
    """A value of an architecture's description in the language of the page."""
    if page_language() == "zh-Hans":
        for pattern, replacement in ARCHITECTURE:
            value = pattern.sub(replacement, value)
    return value


def samples_section(training: Training | None) -> str:
    """Texts that the model wrote during training: the first, the last, and some between."""
    texts = [row for row in (training.samples if training is not None else ()) if isinstance(row.get("text"), str)]
    if not texts:
        return ""
    shown = pick_evenly(texts, MAX_SAMPLES)
    parts = []
    if len(shown) < len(texts):
        sentence = say("{shown} of {n} samples, evenly spaced; all are in", shown=len(shown), n=len(texts))
        parts.append(f'<p class="note">{escape(sentence)} {link_file("lmcraft/samples.jsonl")}</p>')
    for row in shown:
        text = row["text"]
        cut = "…" if len(text) > MAX_CHARACTERS else ""
        heading = escape(say("step {step}", step=say_number(row["step"])))
        parts.append(f'<h3>{heading}</h3><pre dir="auto">{escape(text[:MAX_CHARACTERS])}{cut}</pre>')
    return "".join(parts)


def pick_evenly(items: Sequence[Any], count: int) -> list[Any]:
    """At most so many items, with the first and the last one."""
    if len(items) <= count:
        return list(items)
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]


def settings_section(training: Training | None) -> str:
    """All settings of the run, by their names in run.toml."""
    settings = dict(_flat(training.settings)) if training is not None else {}
    if not settings:
        return ""
    rows = {name: _shorten(value) for name, value in list(settings.items())[:MAX_SETTINGS]}
    summary = say("{n} settings, from", n=len(settings))
    link = link_file(training.settings_file) if training is not None else ""
    more = (
        f"<p>{escape(say('{n} more are in the file.', n=len(settings) - len(rows)))}</p>"
        if len(rows) < len(settings)
        else ""
    )
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows.items())
    return f'<p class="note">{escape(summary)} {link}</p><dl class="settings">{items}</dl>{more}'


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shorten(value: Any) -> str:
    text = _say_value(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def _say_value(value: Any) -> str:
    """A value of a TOML file, with six digits of a number."""
    if isinstance(value, list):
        return ", ".join(map(_say_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def missing_section(evidence: Evidence) -> str:
    """What nobody has measured or stated."""
    items = "".join(f"<li>{mark_code(say(entry.sentence))}</li>" for entry in evidence.missing)
    return f"<ul>{items}</ul>" if items else ""
