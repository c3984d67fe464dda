"""Words that only a list can tell: masked, by sound, in pinyin, and phrases without their spaces."""

import pytest

from lmcraft.moderation.lexicon import Lexicon, Term
from lmcraft.moderation.normalization import normalize

WORDS = {"muppet": 2, "muppet show": 3, "prune": 1, "笨鸡蛋": 2, "骚货": 2, "笨鸡": 2}
LEXICON = Lexicon([Term(word, "harassment", severity, "harmful", "test") for word, severity in WORDS.items()])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a m*ppet", ["m*ppet"]),
        ("a m**pet, M**PETS", ["m**pet"]),
        ("a m###et", ["m###et"]),
        ("p = m**n; m*n*pet; *m", []),
        ("p*une", []),  # mild
        ("m.u.p.p.e.t", ["m.u.p.p.e.t"]),
        ("m u p p e t s h o w", ["m u p p e t s h o w"]),
        ("muuuuppet", ["muuuuppet"]),
        ("muρρet", ["muρρet"]),
        ("ben ji dan", ["ben ji dan"]),
        ("benjidan", ["benjidan"]),
        ("他奔击弹吗", ["奔击弹"]),
        ("你这骚获", ["骚获"]),
        ("笨.鸡.蛋", ["笨.鸡.蛋"]),
        ("笨*鸡蛋", ["笨*鸡蛋"]),
    ],
)
def test_disguised_words_count(text: str, expected: list[str]) -> None:
    findings = LEXICON.judge(normalize(text), "answer", "")
    assert [text[finding.start : finding.end] for finding in findings if finding.score >= 0.7] == expected


def test_two_sounds_are_doubtful_unless_a_character_tells() -> None:
    [finding] = LEXICON.judge(normalize("这笨机"), "answer", "")
    assert finding.score == 0.4 and finding.reason == "the word '笨鸡', written '笨机' (severity 1, list test)"


def test_a_text_of_one_disguise_is_judged_in_bounded_time() -> None:
    findings = LEXICON.judge(normalize("骚获，" * 20_000 + "m*ppet " * 20_000), "answer", "")
    assert {finding.score for finding in findings} == {0.7}
