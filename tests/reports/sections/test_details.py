"""Samples and settings."""

import datetime

from lmcraft.reports.evidence import Training
from lmcraft.reports.language import writing_in
from lmcraft.reports.sections.details import (
    MAX_SAMPLES,
    pick_evenly,
    samples_section,
    say_architecture,
    settings_section,
)


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


def test_an_architecture_is_described_in_both_languages() -> None:
    attention = "12 heads of 64, 4 of keys and values, QK norm"
    assert say_architecture(attention) == attention
    with writing_in("zh-Hans"):
        assert say_architecture(attention) == "12 头，每头 64 维，键值 4 头，QK 归一化"
        assert say_architecture("rotary, base 10000, scaled 4 times (yarn)") == "旋转位置编码，基数 10000，放大 4 倍 (yarn)"
        assert say_architecture("swiglu, 2 of 8 experts of 1,024") == "swiglu, 8 个专家选 2，每个宽 1,024"
        assert say_architecture("32,000 tokens, tied") == "32,000 个词元，输入与输出共享"
        assert say_architecture("2, 1,024 wide, parallel") == "2，宽 1,024，注意力与前馈并行"
