"""Disguised words: what the views show of them, and where they stand in the original."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.moderation.normalization import is_respelling, latin_pinyin, merge_letters, normalize, normalize_term, to_sounds

PLAIN = {
    "Ｄａｍｎ": "damn",
    "d\u200ba\u200cm\u2060n": "damn",
    "d\u00ada\ufeffm\u202en": "damn",
    "ⓓⓐⓜⓝ": "damn",
    "🅳🅰🅼🅽": "damn",
    "𝓭𝓪𝓶𝓷 𝕕𝕒𝕞𝕟 𝐝𝐚𝐦𝐧": "damn damn damn",
    "dаmn": "damn",  # Cyrillic a
    "dαмη": "damn",
    "d̸̢a̴m̷n": "damn",
    "🇩🇦🇲🇳": "damn",
    "⒟⒜⒨⒩": "damn",
    "ᴅᴀᴍɴ": "damn",
    "đåmñ": "damn",
    "d\x00a\x08mn": "damn",
    "Straße ﬁre": "strasse fire",
    "한글 が ไทย": "한글 が ไทย",
    "cliché": "cliche",
    "這個笨蛋說國語": "这个笨蛋说国语",
    "": "",
}


@pytest.mark.parametrize("text", PLAIN)
def test_plain_view(text):
    plain = normalize(text).plain
    assert plain.text == normalize_term(text) == PLAIN[text]
    assert plain.span(0, len(plain.text)) == (0, len(text)) or "\u0337" in text


UNMASKED = {
    "oh d.a.m.n it": ("damn", "d.a.m.n"),
    "oh d a m n it": ("damn", "d a m n"),
    "d-A-m-N!": ("damn", "d-A-m-N"),
    "ｄ．ａ．ｍ．ｎ": ("damn", "ｄ．ａ．ｍ．ｎ"),
    "d\na\nm\nn": ("damn", "d\na\nm\nn"),
    "you 1d10t": ("idiot", "1d10t"),
    "a 5tup1d f00l": ("stupid", "5tup1d"),
    "a b@$t4rd!": ("bastard", "b@$t4rd"),
    "1s s1y": (merge_letters("sly"), "s1y"),
    "daaaaamn": ("damn", "daaaaamn"),
    "stupiiiid": ("stupid", "stupiiiid"),
    "foooools": ("fools", "foooools"),
    "b\u200b.a\u0336st.ard": ("bastard", "b\u200b.a\u0336st.ard"),
    "你这笨*蛋": ("这笨蛋", "这笨*蛋"),
    "笨-蛋": ("笨蛋", "笨-蛋"),
    "笨 蛋": ("笨蛋", "笨 蛋"),
    "笨笨笨笨蛋": ("笨蛋", "笨笨笨笨蛋"),
    "ben4dan4": ("bendan", "ben4dan"),
}


@pytest.mark.parametrize("text", UNMASKED)
def test_unmasked_views(text):
    word, passage = UNMASKED[text]
    passages = [
        text[slice(*view.span(start, start + len(word)))]
        for view in normalize(text).views
        if view.name != "plain" and (start := view.text.find(word)) >= 0
    ]
    assert passage in passages


@pytest.mark.parametrize(
    "text", ["Plain text, and more.", "Stop! It costs 3.14 (or 10-12) dollars.", "他很笨，蛋也坏了。", "1234", ""]
)
def test_clean_text_has_no_unmasked_view(text):
    assert [view.name for view in normalize(text).views if view.name == "unmasked"] == []


@pytest.mark.parametrize("text", ["本但", "笨dan", "ben蛋", "苯蛋", "本*但", "奔　旦"])
def test_sounds(text):
    normalized = normalize("你这" + text + "！")
    sounds = to_sounds("笨蛋")
    assert len(sounds) == 2
    views = [view for view in normalized.views if view.name == "pinyin" and sounds in view.text]
    start = views[0].text.index(sounds)
    first, last = views[0].span(start, start + 2)
    assert normalized.original[first:last] == text


@pytest.mark.parametrize(
    ("spelling", "term", "expected"),
    [
        ("苯但", "笨蛋", True),
        ("苯氮", "笨蛋", True),
        ("见人", "贱人", False),
        ("引起", "淫妻", False),
        ("汪八但", "王八蛋", True),
    ],
)
def test_respellings(spelling, term, expected):
    text = normalize(spelling)
    view = text.views[-1]
    assert view.text == to_sounds(term)
    assert is_respelling(text, view, 0, len(view.text), term) is expected


def test_latin_pinyin():
    assert latin_pinyin("笨蛋") == ("bendan", "ben dan")
    assert latin_pinyin("妈的") == ()
    assert latin_pinyin("坏x") == ()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters() | st.sampled_from("aaaabc.*- 1$傻逼\u200b\u0336\nﬁß")))
def test_offsets_lead_to_the_original(text):
    normalized = normalize(text)
    assert normalized.original == text
    for view in normalized.views:
        if view.offsets is None:
            assert len(view.text) == len(text)
            continue
        offsets = view.offsets.tolist()
        assert len(offsets) == len(view.text) + 1
        assert offsets[-1] == len(text)
        assert offsets == sorted(offsets)
        assert all(0 <= offset <= len(text) for offset in offsets)
