"""Samples and settings."""

import datetime

from lmcraft.reports.evidence import Training
from lmcraft.reports.sections.details import MAX_SAMPLES, pick_evenly, samples_section, settings_section


def training_of(settings: dict[str, object], samples: list[dict[str, object]]) -> Training:
    return Training("pretrain", "", settings, "lmcraft/run.toml", 1, "", [], samples, {}, "")


def test_few_of_many_samples_are_shown_with_the_first_and_the_last() -> None:
    assert pick_evenly(range(100), 4) == [0, 33, 66, 99] and pick_evenly("ab", 4) == ["a", "b"]
    samples: list[dict[str, object]] = [{"step": step, "text": f"<{step}>" + "x" * 10_000} for step in range(500)]
    section = samples_section(training_of({}, [{"step": 0, "text": None}, {"step": 0}, *samples]))
    assert section.count("<pre") == MAX_SAMPLES and "&lt;0&gt;" in section and "&lt;499&gt;" in section
    assert len(section) < 40_000 and "10 of 500 samples" in section


def test_settings_are_named_as_in_the_file() -> None:
    settings = {
        "a": {"b": [1.5, True, "x"], "c": {}},
        "day": datetime.date(2026, 1, 2),
        "<rate>": 0.1 + 0.2,
        "nan": float("nan"),
    }
    section = settings_section(training_of(settings, []))
    assert "<dt>a.b</dt><dd>1.5, true, x</dd>" in section and "<dt>a.c</dt><dd>{}</dd>" in section
    assert "<dd>2026-01-02</dd>" in section and "<dt>&lt;rate&gt;</dt><dd>0.3</dd>" in section and "<dd>nan</dd>" in section
