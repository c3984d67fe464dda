"""What the stages read if the user gives no files: texts and conversations from packages, and facts of countries."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from countries import DECLINES, Fact, Messages, articles, conversations, held_out, messages, read_facts

from recipes.packages import Package, fetch, llamafactory_data

WORLD = Package(
    "npm",
    "world-countries@5.1.0",
    "world-countries-5.1.0.tgz",
    "329eb6ef4099ffb590219c9beb634bf489a5e4b10d8ab0ac52a58ebf7b9f8495",
)
NAME, AUTHOR = "Atlas", "the lmcraft project"
OTHER_SUBJECTS_HELD_OUT = 100
MAX_CHARS = 200  # of a question about something else
IDENTITY_COPIES = 4


@dataclass(frozen=True)
class World:
    """What the model can be asked, and what of that it never sees as a question."""

    facts: dict[str, list[Fact]]
    other_subjects: list[str]
    """Questions about anything else, of which the last OTHER_SUBJECTS_HELD_OUT are for measuring."""
    instructions: list[str]
    """The former questions with their answers, as texts."""
    identity: list[tuple[str, str]]

    @property
    def asked(self) -> list[Fact]:
        """The facts that conversations are about."""
        names = set(held_out(self.facts))
        return [fact for country in sorted(self.facts) if country not in names for fact in self.facts[country]]

    @property
    def only_read(self) -> list[Fact]:
        """The facts of the other countries."""
        return [fact for country in held_out(self.facts) for fact in self.facts[country]]

    @property
    def unseen_subjects(self) -> list[str]:
        return self.other_subjects[-OTHER_SUBJECTS_HELD_OUT:]

    def articles(self, copies: int) -> Iterator[str]:
        return articles(self.facts, copies)

    def conversations(self, count: int) -> Iterator[Messages]:
        """Two thirds of them about countries; the others about other things and about the model itself."""
        draw = random.Random(2)
        yield from conversations(self.asked, count * 2 // 3)
        for _ in range(count // 4):
            yield messages([(draw.choice(self.other_subjects[:-OTHER_SUBJECTS_HELD_OUT]), draw.choice(DECLINES))])
        for question, answer in self.identity * IDENTITY_COPIES:
            yield messages([(question, answer)])

    def questions(self, count: int) -> list[tuple[Fact | None, str]]:
        """Questions for which the model's own answers become preference pairs: three of four about countries."""
        draw = random.Random(3)
        subjects = draw.sample(self.other_subjects[:-OTHER_SUBJECTS_HELD_OUT], count // 4)
        facts = draw.sample(self.asked, min(len(self.asked), count - count // 4))
        return [*((fact, draw.choice(fact.questions())) for fact in facts), *((None, subject) for subject in subjects)]


def open_world() -> World:
    facts = read_facts(fetch(WORLD) / "package" / "countries.json")
    data = llamafactory_data()
    rows = json.loads((data / "alpaca_en_demo.json").read_text(encoding="utf-8"))
    answered = {f"{row['instruction']}\n{row['input']}".strip(): row["output"] for row in rows}
    subjects = [text for text in answered if len(text) < MAX_CHARS and not any(country in text for country in facts)]
    random.Random(1).shuffle(subjects)
    kept = [f"{text}\n{answered[text]}" for text in answered if text not in subjects[-OTHER_SUBJECTS_HELD_OUT:]]
    text = (data / "identity.json").read_text(encoding="utf-8").replace("{{name}}", NAME).replace("{{author}}", AUTHOR)
    return World(facts, subjects, kept, [(row["instruction"], row["output"]) for row in json.loads(text)])


def sample(rows: Sequence[Fact], count: int) -> list[Fact]:
    return random.Random(4).sample(rows, min(count, len(rows)))
