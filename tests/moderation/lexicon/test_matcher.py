"""Both matchers give the same matches, on any text."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.cpp.library import BuildError
from lmcraft.moderation.lexicon import opener
from lmcraft.moderation.lexicon.matcher import MAX_MATCHES_PER_END, TokenMatcher, split_key
from lmcraft.moderation.lexicon.native.library import NativeMatcher
from lmcraft.moderation.lexicon.opener import Matcher

KEYS = [
    "a",
    "ab",
    "b a",
    "a b a",
    "傻",
    "傻a",
    "a傻",
    "傻b傻",
    "'",
    "a'b",
    "1",
    "ab1",
    "한",
    "ก",
    "!",
    "a!",
    "\ue000\ue001",
    "\U00030000",
    "é",
]
TOKENS = [tuple(split_key(key)) for key in KEYS]
PIECES = [
    "a",
    "b",
    "1",
    "傻",
    "'",
    "’",
    "-",
    "_",
    " ",
    "\n",
    "\u3000",
    "!",
    "한",
    "ก",
    "é",
    "\ue000",
    "\ue001",
    "\ud800",
    "\U00030000",
    "\U0001f600",
]


@pytest.fixture(scope="module")
def native() -> NativeMatcher:
    try:
        return NativeMatcher(TOKENS)
    except BuildError as error:
        pytest.skip(str(error))


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_native_matches_are_the_same(native: NativeMatcher, text: str) -> None:
    assert native.find(text).tolist() == TokenMatcher(TOKENS).find(text).tolist()


@pytest.mark.parametrize("text", ["ab " * 5000, "a" * 5000, "傻" * 5000, " - _" * 5000, "a b " * 5000, ""])
def test_repetitions(native: NativeMatcher, text: str) -> None:
    assert np.array_equal(native.find(text), TokenMatcher(TOKENS).find(text))


def test_keys_of_a_thousand_characters(native: NativeMatcher) -> None:
    key = " ".join(random.Random(0).choices("abcdef", k=500))
    text = f"a {key} {key[:-2]}"
    for matcher in (NativeMatcher([tuple(split_key(key))]), TokenMatcher([tuple(split_key(key))])):
        assert matcher.find(text).tolist() == [[2, 2 + len(key), 0]]


def test_without_a_compiler_python_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BuildError("no compiler")

    monkeypatch.setattr(opener, "NativeMatcher", refuse)
    monkeypatch.setattr(opener, "MIN_CHARS", 0)
    matcher = Matcher(TOKENS)
    assert matcher.find("ab").tolist() == matcher.find("ab").tolist() == [[0, 2, 1]]


def test_after_enough_text_the_native_matcher_is_compiled(monkeypatch: pytest.MonkeyPatch, native: NativeMatcher) -> None:
    monkeypatch.setattr(opener, "is_compiled", lambda source: False)
    monkeypatch.setattr(opener, "MIN_CHARS", 10)
    matcher = Matcher(TOKENS)
    assert matcher.find("ab" * 10).tolist() == []
    matcher.wait()
    assert matcher.find("ab").tolist() == [[0, 2, 1]] and matcher.is_native


def test_keys_that_end_each_other_make_few_matches() -> None:
    keys = [tuple(split_key("傻" * length)) for length in range(1, 60)]
    text = "傻" * 300
    native, python = NativeMatcher(keys).find(text), TokenMatcher(keys).find(text)
    assert np.array_equal(native, python)
    assert len(native) <= MAX_MATCHES_PER_END * len(text)
    assert [240, 299, 58] in native.tolist()


def test_many_keys_that_begin_alike() -> None:
    """Children of one state, many in the same of its 64 buckets."""
    keys = [("你", chr(code)) for code in range(0x4E00, 0x4E00 + 600)] + [
        ("你", "一", chr(0x4E00 + 64 * n)) for n in range(20)
    ]
    text = "".join(f"你{chr(code)}" for code in range(0x4DF0, 0x4E00 + 700, 7)) + "你一丁你一乀你一一"
    assert NativeMatcher(keys).find(text).tolist() == TokenMatcher(keys).find(text).tolist()
