"""Passages end at the borders of characters as people see them."""

from pathlib import Path

import pytest

from lmcraft.moderation.characters import widen
from lmcraft.moderation.moderator import Moderator


@pytest.mark.parametrize(
    ("text", "passage", "shown"),
    [
        ("a bad b", (2, 5), "bad"),
        ("a bad\u0301\u0323 b", (2, 5), "bad\u0301\u0323"),
        ("e\u0301bad", (1, 5), "e\u0301bad"),
        ("bad\ufe0f!", (0, 3), "bad\ufe0f"),
        ("bad\U000e0101!", (0, 3), "bad\U000e0101"),
        ("bad\u200d!", (0, 3), "bad\u200d"),
        ("\U0001f595\U0001f3fd!", (0, 1), "\U0001f595\U0001f3fd"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f466!", (0, 1), "\U0001f468\u200d\U0001f469\u200d\U0001f466"),
        ("\U0001f468\u200d\U0001f469!", (2, 3), "\U0001f468\u200d\U0001f469"),
        ("\u0915\u093e\u0903!", (0, 1), "\u0915\u093e\u0903"),
        ("bad\u0301", (0, 4), "bad\u0301"),
    ],
)
def test_a_passage_has_whole_characters(text: str, passage: tuple[int, int], shown: str) -> None:
    start, end = widen(text, *passage)
    assert text[start:end] == shown


@pytest.mark.parametrize(
    "word", ["b\u0301lorgh\u0301", "blorgh\u0301\u0302\ufe0f", "b\u0336l\u0336o\u0336r\u0336g\u0336h\u0336"]
)
def test_accents_go_with_a_redacted_word(word: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("blorgh\n", encoding="utf-8")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'name = "p"\ntiers = {{lexicons = ["{tmp_path / "words.txt"}"]}}\n[categories.profanity]\nanswer = "redact"\n',
        encoding="utf-8",
    )
    text = f"a {word} here"
    assert Moderator.open(str(policy)).judge(text, "answer").redact(text) == "a [redacted] here"
