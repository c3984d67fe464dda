"""The stage `mark`: where passages begin, and which of them are bad."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lmcraft.data.marks import BAD, GOOD, MARKS, MAX_PASSAGE_CHARS
from lmcraft.errors import RunError, UserError
from lmcraft.moderation import Finding, Moderator, read_policy
from lmcraft.moderation.normalized_text import NormalizedText
from lmcraft.preparation.contracts import KEEP, DocumentId, Record
from lmcraft.preparation.output.marks import MarkInserter
from lmcraft.preparation.recipe import build_recipe
from lmcraft.preparation.stages.catalog import build_stage
from lmcraft.preparation.stages.mark import ENDS, MIN_PASSAGE_CHARS, NOTE, cut_passages
from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
from tests.preparation.stages.test_conformance import TEXTS

MARKED = "The weather is fine and mild. You are a fool, my friend! The harbor is open until noon. Fools are rare."


class WordTier:
    """Finds the word "fool", and fails at "crash"."""

    name = "lexicon"

    def fingerprint(self) -> str:
        return "1"

    def judge(self, text: NormalizedText, stage: str, question: str) -> Sequence[Finding]:
        assert stage == "training"
        if "crash" in text.original:
            raise RuntimeError("a tier fails")
        score = 0.9 if "fool" in text.original else 0.5 if "Fool" in text.original else 0.0
        return [Finding("harassment", score, self.name, "the word")] if score else []


@pytest.fixture(autouse=True)
def moderator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moderator, "open", classmethod(lambda cls, policy: cls(read_policy(policy), [WordTier()])))


def make_record(text: str) -> Record:
    return Record(DocumentId(0, 0, 0), text, "a.txt", 1, notes={"source": "s"})


def passages(text: str, **settings: Any) -> list[tuple[str, bool]]:
    record = make_record(text)
    stage: Any = build_stage("mark", "mark", settings)
    assert stage.judge(record) == KEEP
    starts = [start for start, _ in record.notes[NOTE]]
    pieces = [text[a:b] for a, b in pairwise([*starts, len(text)])]
    assert "".join(pieces) == text
    return [(piece, bool(is_bad)) for piece, (_, is_bad) in zip(pieces, record.notes[NOTE], strict=True)]


def test_sentences() -> None:
    assert passages(MARKED) == [
        ("The weather is fine and mild.", False),
        (" You are a fool, my friend!", True),
        (" The harbor is open until noon.", False),
        (" Fools are rare.", False),
    ]


@pytest.mark.parametrize(
    ("settings", "bad"),
    [
        ({"threshold": 0.5}, [False, True, False, True]),
        ({"threshold": 0.95}, [False] * 4),
        ({"categories": ("hate",)}, [False] * 4),
        ({"categories": ("hate", "harassment"), "threshold": 0.6}, [False, True, False, False]),
    ],
)
def test_what_counts(settings: Mapping[str, Any], bad: list[bool]) -> None:
    assert [is_bad for _, is_bad in passages(MARKED, **settings)] == bad


def test_documents_are_bad_if_a_sentence_is_and_long_ones_repeat_their_mark() -> None:
    assert passages(MARKED, unit="document") == [(MARKED, True)]
    marked = passages("Mild weather, calm sea. " * 100 + "You are a fool.", unit="document")
    assert len(marked) == 3 and all(is_bad for _, is_bad in marked)


def test_lines() -> None:
    text = "A line of a letter. And more.\nYou are a fool, dear.\n\n\nThe last line of the letter"
    assert passages(text, unit="line") == [
        ("A line of a letter. And more.", False),
        ("\nYou are a fool, dear.", True),
        ("\n\n\nThe last line of the letter", False),
    ]


def test_chinese_sentences() -> None:
    text = "这是一个很长的句子，说的是天气和大海的事情。“你真的是个傻瓜吗？”她笑着问他，然后就走了，再也没有回来。"
    assert [text[a:b] for a, b in pairwise([*cut_passages(text, ENDS["sentence"]), len(text)])] == [
        "这是一个很长的句子，说的是天气和大海的事情。",
        "“你真的是个傻瓜吗？”她笑着问他，然后就走了，再也没有回来。",
    ]


@pytest.mark.parametrize("unit", ["sentence", "line", "document"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_can_be_cut(text: str, unit: str) -> None:
    text = text[:20_000]
    marked = passages(text, unit=unit)
    assert all(0 < len(piece) <= MAX_PASSAGE_CHARS for piece, _ in marked)
    if unit != "document":
        cut = [len(piece) for piece, _ in marked]
        assert all(size >= MIN_PASSAGE_CHARS for size in cut[:-1])


def test_a_tier_that_fails_ends_the_preparation() -> None:
    with pytest.raises(RunError, match=r"stage 'mark' cannot judge 'a.txt', line 1: the lexicon tier failed"):
        passages("This text lets the tier crash.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"categories": ["hat"]}, "categories: there is no category 'hat': did you mean 'hate'?"),
        ({"threshold": 0}, "threshold=0 is out of range"),
        ({"unit": "word"}, "unit"),
    ],
)
def test_settings(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", "[?]")):
        build_stage("mark", "mark", settings)


def test_it_is_the_last_stage() -> None:
    source = {"name": "a", "paths": ["a.txt"]}
    message = "stage 'normalize' comes after stage 'mark', whose marks stand in the finished text: move the stage of kind"
    with pytest.raises(UserError, match=message):
        build_recipe({"source": [source], "stage": [{"kind": "mark"}, {"kind": "normalize"}]})
    recipe = build_recipe({"source": [source], "stage": [{"kind": "normalize"}, {"kind": "mark"}]})
    assert recipe.has_marks and not replace(recipe, stage=recipe.stage[:1]).has_marks


TOKENIZERS = {
    "bpe": lambda texts: train_bpe(texts, vocab_size=400, special_tokens=("<|endoftext|>", *MARKS)),
    "characters": lambda texts: train_characters(texts).with_special_tokens(MARKS),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    "text", [MARKED, TEXTS["Chinese"], TEXTS["lone surrogates"], "The spelling <|bad|> is text here. " * 9]
)
def test_marks_stand_between_tokens_and_leave_the_text_as_it_is(name: str, text: str) -> None:
    tokenizer: Tokenizer = TOKENIZERS[name]([MARKED * 30, TEXTS["Chinese"], "<|bad|>"])
    record = make_record(text)
    stage: Any = build_stage("mark", "mark", {})
    stage.judge(record)
    inserter = MarkInserter(tokenizer)
    [ids] = tokenizer.encode_arrays([text])
    marked = inserter.insert(record, ids)
    is_mark = np.isin(marked, [tokenizer.id_of(GOOD), tokenizer.id_of(BAD)])
    assert marked[~is_mark].tolist() == ids.tolist() or name == "characters"
    assert marked[0] in (tokenizer.id_of(GOOD), tokenizer.id_of(BAD))
    bad = [is_bad for _, is_bad in record.notes[NOTE]]
    assert [int(mark == tokenizer.id_of(BAD)) for mark in marked[is_mark]] == bad
    assert inserter.counts() == {"good_passages": bad.count(0), "bad_passages": bad.count(1)}
    if text == MARKED:
        text_with_marks = tokenizer.decode(marked, skip_special_tokens=False)
        assert text_with_marks.startswith(
            "<|good|>The weather is fine and mild.<|bad|> You are a fool, my friend!<|good|> The"
        )


def test_a_document_without_marks_stays_as_it_is() -> None:
    inserter = MarkInserter(train_characters([MARKED]))
    ids = np.array([1, 2, 3], np.uint32)
    assert inserter.insert(make_record("abc"), ids) is ids and inserter.counts() == {}
