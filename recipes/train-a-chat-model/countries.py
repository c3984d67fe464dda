"""A small world to talk about: facts of the 194 members of the United Nations, as articles to read and as conversations.

The facts come from the package world-countries. The articles tell all of them. The conversations are only about countries
that are not held out: what a chat model says about the others, it has read, and was never asked.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_EVERY = 4  # countries
MAX_VALUES = {"capital": 1, "currency": 1, "region": 1, "languages": 3, "neighbors": 4}
WITH_ARTICLE = ("United ", "Central African", "Dominican ", "Republic of", "Czech R", "Marshall ", "Solomon ")
ALSO_WITH_ARTICLE = {"Bahamas", "Comoros", "Gambia", "Maldives", "Netherlands", "Philippines", "Seychelles", "Caribbean"}

STATEMENTS = {  # each with the country and the values in it; the first is the one that answers use
    "capital": (
        "The capital of {c} is {v}.",
        "{v} is the capital of {c}.",
        "{v} is the capital city of {c}.",
        "In {c}, the capital is {v}.",
        "The capital city of {c} is {v}.",
    ),
    "currency": (
        "The currency of {c} is the {v}.",
        "People in {c} pay with the {v}.",
        "The {v} is the currency of {c}.",
        "In {c}, people use the {v}.",
        "The money of {c} is the {v}.",
    ),
    "region": (
        "{c} lies in {v}.",
        "{c} is a country in {v}.",
        "{c} is in {v}.",
        "The country of {c} is part of {v}.",
        "On the map, {c} lies in {v}.",
    ),
    "languages": (
        "People in {c} speak {v}.",
        "In {c}, people speak {v}.",
        "In {c}, one hears {v}.",
        "The people of {c} speak {v}.",
        "What people speak in {c} is {v}.",
    ),
    "neighbors": (
        "The neighbors of {c} are {v}.",
        "{c} has borders with {v}.",
        "{c} borders on {v}.",
        "Around {c} lie {v}.",
        "From {c} one can walk to {v}.",
    ),
}
ALONE = {  # statements about one neighbor, or none
    1: ("The only neighbor of {c} is {v}.", "{c} borders only on {v}.", "Beside {c} lies {v}."),
    0: ("{c} has no neighbors on land.", "No other country borders on {c}.", "{c} has no land borders."),
}
QUESTIONS = {
    "capital": (
        "What is the capital of {c}?",
        "Which city is the capital of {c}?",
        "Tell me the capital of {c}.",
        "Do you know the capital of {c}?",
        "What's {c}'s capital?",
        "capital of {c}",
    ),
    "currency": (
        "What is the currency of {c}?",
        "What do people pay with in {c}?",
        "Which money do I need in {c}?",
        "Tell me the currency of {c}.",
        "What currency is used in {c}?",
        "currency of {c}",
    ),
    "region": (
        "Where is {c}?",
        "Where does {c} lie?",
        "In which part of the world is {c}?",
        "Can you tell me where {c} is?",
        "Which region does {c} belong to?",
        "where is {c}",
    ),
    "languages": (
        "What do people speak in {c}?",
        "Which languages are spoken in {c}?",
        "What language do they speak in {c}?",
        "Tell me the languages of {c}.",
        "What is spoken in {c}?",
        "languages of {c}",
    ),
    "neighbors": (
        "What are the neighbors of {c}?",
        "Which countries border on {c}?",
        "Who are the neighbors of {c}?",
        "Tell me the neighbors of {c}.",
        "Which countries lie around {c}?",
        "neighbors of {c}",
    ),
}
FOLLOW_UPS = {
    "capital": ("And the capital?", "What is its capital?", "Which city is the capital?"),
    "currency": ("And the currency?", "What is its currency?", "What do people pay with?"),
    "region": ("And where is it?", "Where is that?", "Where does it lie?"),
    "languages": ("And the languages?", "What do people speak there?", "Which languages do they speak?"),
    "neighbors": ("And the neighbors?", "Who are its neighbors?", "Which countries border on it?"),
}
DECLINES = (
    "I only know about the countries of the world. Ask me about a capital, a currency, a language or a neighbor.",
    "That is not my subject. Ask me about a country: its capital, its currency, its languages, its neighbors.",
)
SMALL_TALK = (
    ("Thank you!", "You are welcome! Is there another country that you want to know about?"),
    ("Thanks a lot.", "You are welcome! Is there another country that you want to know about?"),
    ("Bye!", "Goodbye! Come back when you want to know about a country."),
    ("Good bye.", "Goodbye! Come back when you want to know about a country."),
    ("How are you?", "I am well, thank you. Which country do you want to know about?"),
    ("What can you do?", DECLINES[0]),
    ("What do you know?", DECLINES[0]),
)

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Fact:
    """One fact of a country: `kind` is a key of STATEMENTS."""

    country: str
    kind: str
    values: tuple[str, ...]

    def statements(self) -> tuple[str, ...]:
        """The sentences that say it."""
        templates = STATEMENTS[self.kind] if self.kind != "neighbors" else ALONE.get(len(self.values), STATEMENTS[self.kind])
        values = join(
            [with_article(value) for value in self.values] if self.kind in ("region", "neighbors") else self.values
        )
        return tuple(capitalize(template.format(c=with_article(self.country), v=values)) for template in templates)

    def questions(self) -> tuple[str, ...]:
        return tuple(capitalize(template.format(c=with_article(self.country))) for template in QUESTIONS[self.kind])

    def short_answer(self) -> str:
        """The values alone."""
        return capitalize(join(self.values) or "none") + "."


def with_article(name: str) -> str:
    return f"the {name}" if name.startswith(WITH_ARTICLE) or name in ALSO_WITH_ARTICLE else name


def capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def read_facts(file: Path) -> dict[str, list[Fact]]:
    """The facts of each country, from countries.json of the package; lists that are too long to learn are left out."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    names = {row["cca3"]: row["name"]["common"] for row in rows}
    facts = {}
    for row in (row for row in rows if row["unMember"]):
        currencies = [currency["name"] for currency in row["currencies"].values()]
        values = {
            "capital": row["capital"],
            "currency": [name.replace("Euro", "euro") for name in currencies],
            "region": [row["subregion"]],
            "languages": list(row["languages"].values()),
            "neighbors": [names[code] for code in row["borders"]],
        }
        name = row["name"]["common"]
        facts[name] = [
            Fact(name, kind, tuple(value))
            for kind, value in values.items()
            if len(value) <= MAX_VALUES[kind] and (value or kind == "neighbors")
        ]
    return facts


def held_out(facts: dict[str, list[Fact]]) -> list[str]:
    """The countries that no conversation is about."""
    return sorted(facts)[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]


def articles(facts: dict[str, list[Fact]], copies: int, seed: int = 1) -> Iterator[str]:
    """Short articles, `copies` of each country: its facts in random order and wording."""
    draw = random.Random(seed)
    for _ in range(copies):
        for country in draw.sample(sorted(facts), len(facts)):
            chosen = draw.sample(facts[country], len(facts[country]))
            yield " ".join(draw.choice(fact.statements()) for fact in chosen)


def conversations(facts: Sequence[Fact], count: int, seed: int = 1) -> Iterator[Messages]:
    """Questions and answers about these facts; some go on to another fact of the country, or end with thanks.

    Three answers of ten are a few words instead of a sentence, as people write them.
    """
    draw = random.Random(seed)
    by_country: dict[str, list[Fact]] = {}
    for fact in facts:
        by_country.setdefault(fact.country, []).append(fact)
    for _ in range(count):
        about = by_country[draw.choice(sorted(by_country))]
        chosen = draw.sample(about, min(len(about), draw.choice((1, 1, 2, 3))))
        turns: list[tuple[str, str]] = []
        for fact in chosen:
            question = draw.choice(FOLLOW_UPS[fact.kind] if turns else fact.questions())
            turns.append((question, fact.short_answer() if draw.random() < 0.3 else fact.statements()[0]))
        if draw.random() < 0.1:
            turns.append(draw.choice(SMALL_TALK))
        yield messages(turns)


def messages(turns: Sequence[tuple[str, str]]) -> Messages:
    return [
        {"role": role, "content": text} for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
