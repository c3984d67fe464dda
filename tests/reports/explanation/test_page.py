"""The page of an explanation, as HTML."""

import json
import re
import zlib
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from lmcraft.interpretability.explanation import Check, Explanation, Surprise
from lmcraft.reports.chinese import CHINESE
from lmcraft.reports.explanation import build_page, summarize, write_explanation
from lmcraft.reports.explanation.checks import describe, verdict_of
from lmcraft.reports.explanation.phrases import PHRASES, say_phrase
from lmcraft.reports.explanation.tokens import number, spell
from lmcraft.reports.language import writing_in
from tests.reports.explanation.examples import HOSTILE, explanation, long_text

MAX_BYTES = 3_000_000


def data_of(page: str) -> dict[str, object]:
    match = re.search(r'<script type="text/plain" id="data">([^<]*)</script>', page)
    assert match is not None
    return json.loads(zlib.decompress(b64decode(match[1])))


def test_hostile_tokens_are_text(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_explanation(path, explanation(HOSTILE))
    page = path.read_text(encoding="utf-8")
    assert page.count("<script") == 2 and "<img" not in page and "<b>name" not in page and "<i>nobody" not in page
    assert "\0" not in page and "\u202e" not in page and "\x1b" not in page
    assert "http://127" in page and "\\u202eevil" in page and "$title" in page and "{name}" in page


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" the", "␣the"), ("   ", "␣␣␣"), ("a b ", "a b␣"), ("\n\t", "⏎⇥"), ("\0", "\\x00"), ("\ud83d", "\\ud83d"), ("", "")],
    ids=["word", "spaces", "end", "lines", "nul", "surrogate", "empty"],
)
def test_every_character_of_a_token_can_be_seen(token: str, shown: str) -> None:
    assert spell(token) == shown
    assert len(spell("x" * 1000)) == 32 and len(spell("界" * 60)) < 20


def test_long_texts_stay_below_the_limit() -> None:
    """The data of a real vocabulary: many different tokens, as many weights as the page takes."""
    tokens = [f" token{n:04d}" for n in range(300)]
    page = build_page(explanation(tokens, layers=12, heads=6))
    assert len(page.encode()) < MAX_BYTES
    data = data_of(page)
    lens = data["lenses"][0]
    assert lens["first"] == 0 and len(lens["choices"][0]) == 300 and 0 < len(data["heads"]) <= 72


def test_a_lens_of_a_very_long_text_has_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.reports.explanation.script_data.MAX_CHOICES", 60)
    monkeypatch.setattr("lmcraft.reports.explanation.script_data.MAX_WEIGHTS", 300)
    data = data_of(build_page(explanation(long_text(40))))
    assert data["lenses"][0]["first"] == 30 and len(data["lenses"][0]["choices"][2]) == 10
    assert 0 < len(data["heads"]) < 6 and len(data["tokens"]) == 40


def test_a_check_says_what_was_done_and_its_verdict() -> None:
    check = Check("head 5.1", "ablated", "induction score", 0.9, 0.2, [0.9 - 0.001 * n for n in range(19)])
    assert describe(check) == (
        "Head 5.1 ablated: induction score went from 0.900 to 0.200 (−0.700). Random others (n = 19) changed it by "
        "−0.009 on average (−0.018 to +0.000); p = 0.050."
    )
    assert verdict_of(check) == "Better than random."
    assert verdict_of(replace(check, after=0.895)) == "No better than random."
    assert verdict_of(replace(check, random=[0.9] * 3)) == "Too few others for a test."
    with writing_in("zh-Hans"):
        assert describe(check).startswith("消融注意力头 5.1：归纳分数由 0.900 变为 0.200（−0.700）。换成 19 个随机对照")


def test_what_is_named_and_measured_is_in_chinese() -> None:
    assert set(PHRASES) <= CHINESE.keys()
    assert say_phrase("logit of ' a\n' minus that of 'b'") == "logit of ' a⏎' minus that of 'b'"
    with writing_in("zh-Hans"):
        assert say_phrase("heads 3.2 and 5.1") == "注意力头 3.2 和 5.1"
        assert say_phrase("embedding in the keys of head 1.0") == "注意力头 1.0 的键中的嵌入"
        assert say_phrase("induction heads 5.1, 6.0 and 2 more") == "归纳头 5.1, 6.0 等（另有 2 个）"
        assert say_phrase("logit of 'x' minus the mean logit") == "'x' 的 logit 减去平均 logit 的差"
        assert say_phrase("something new") == "something new"


def test_a_failed_check_is_marked() -> None:
    page = build_page(explanation(long_text(12)))
    failed = re.findall(r'<div class="check failed">.*?</div>', page)
    assert len(failed) == 2 and all("No better than random." in check and "不优于随机" in check for check in failed)
    assert page.count('class="check passed"') == 5 and "5 of 7 (1 untestable)" in page


def test_numbers_that_are_none() -> None:
    assert number(None) == number(float("nan")) == number(float("inf")) == "–"
    assert number(-0.0001) == "0.00" and number(-1.5, 1, "+") == "−1.5"
    broken = replace(explanation(long_text(12)), surprise=Surprise([None] * 12, [[]] * 12, []))
    assert "NaN" not in build_page(broken)


def test_an_explanation_of_one_token_without_views() -> None:
    least = Explanation("m", "a model", "x", ["x"], Surprise([None], [[]], []))
    page = build_page(least)
    assert page.count("<section") == 1 and "checks better" not in page
    assert list(summarize(least)) == []


def test_the_summary_names_what_stands_out() -> None:
    lines = list(summarize(explanation(long_text(12))))
    assert lines[0].startswith("surprise: ") and lines[1].startswith("next: ")
    assert any(line.startswith("induction heads: ") for line in lines)
    assert "induction forms by step 500" in lines and "most influential by replay: document 17 (1,000 in all)" in lines
    assert any(line.startswith("✗ head 0.1 ablated") and line.endswith("no better than random.") for line in lines)
    assert lines[-1] == "not shown: other: a view that <i>nobody</i> knows"
