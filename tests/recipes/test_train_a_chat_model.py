"""What the recipe train-a-chat-model writes and judges by: its facts, and its rule."""

import json
import sys
from pathlib import Path

import pytest

from recipes.__main__ import RECIPES

sys.path.insert(0, str(RECIPES / "train-a-chat-model"))

from answers import Answer, grade
from countries import DECLINES, Fact, articles, conversations, held_out, join, read_facts

NORWAY = {
    "name": {"common": "Norway"},
    "cca3": "NOR",
    "unMember": True,
    "capital": ["Oslo"],
    "currencies": {"NOK": {"name": "Norwegian krone"}},
    "subregion": "Northern Europe",
    "languages": {"nno": "Norwegian"},
    "borders": [],
}
BAHAMAS = NORWAY | {"name": {"common": "Bahamas"}, "cca3": "BHS", "subregion": "Caribbean", "borders": ["NOR"]}
CAPITAL = Fact("Norway", "capital", ("Oslo",))


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, list[Fact]]:
    (tmp_path / "countries.json").write_text(json.dumps([NORWAY, BAHAMAS]))
    return read_facts(tmp_path / "countries.json")


def test_facts_are_said_in_whole_sentences(facts: dict[str, list[Fact]]) -> None:
    said = [fact.statements()[0] for fact in [*facts["Norway"], *facts["Bahamas"]]]
    assert "The capital of Norway is Oslo." in said
    assert "Norway has no neighbors on land." in said
    assert "The Bahamas lies in the Caribbean." in said
    assert "The only neighbor of the Bahamas is Norway." in said


def test_articles_say_all_facts_and_conversations_are_about_the_given_ones(facts: dict[str, list[Fact]]) -> None:
    assert all(("Oslo" in text) and ("krone" in text) for text in articles(facts, 2))
    turns = [message["content"] for talk in conversations(facts["Norway"], 20) for message in talk]
    assert any("Norway" in text for text in turns)
    assert not any("Bahamas" in text for text in turns)


def test_every_fourth_country_is_held_out() -> None:
    assert held_out({name: [] for name in "abcdefgh"}) == ["d", "h"]


def test_names_are_joined() -> None:
    assert [join(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("fact", "text", "is_ended", "points"),
    [
        (CAPITAL, "The capital of Norway is Oslo.", True, 2),
        (CAPITAL, "Oslo.", True, 1),
        (CAPITAL, "The capital of Norway is Bergen.", True, 0),
        (CAPITAL, "The capital of Norway is Oslo.", False, 0),
        (CAPITAL, "Oslo, Bergen, Paris, Rome, Berlin, Vienna, Madrid, Lisbon, Warsaw, Prague", True, 0),
        (None, DECLINES[0], True, 2),
        (None, "The capital of Norway is Oslo.", True, 0),
    ],
    ids=["sentence", "words", "wrong", "endless", "list", "declined", "off-subject"],
)
def test_the_rule(fact: Fact | None, text: str, is_ended: bool, points: int) -> None:
    assert grade(fact, Answer(text, is_ended)) == points
