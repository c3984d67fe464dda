"""The labelled set of scrubbing.py: texts in Chinese and English with invented personal data, and where it is in them.

Templates are in data/scrubbing/, separated by lines of %%. In them {kind.variant} is a value of that kind, which becomes
a label; {kind.variant:a} is the same value at each of its places; {~name} is a value that only looks like personal data,
and no label. The tuning half is for whoever improves detectors; figures are reported on the held-out half, which has other
templates, names, streets and towns. A few fresh templates were written when the detectors were finished.

python benchmarks/scrubbing_set.py OUT [--seed 31] [--per-template 25]     writes its files as JSON lines
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from scrubbing_lookalikes import LOOKALIKES
from scrubbing_values import FOLDER, VALUES, Source

Language = Literal["zh", "en"]
Half = Literal["tuning", "held-out", "fresh"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
HALVES: tuple[Half, ...] = ("tuning", "held-out", "fresh")
SLOT = re.compile(r"\{(~?)([a-z][a-z.-]*[a-z0-9])(?::([a-z]))?\}")
MARKS = "⟦⟧"
SEED, TEXTS_PER_TEMPLATE = 31, 25


class Label(NamedTuple):
    """A value in a text."""

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class LabelledText:
    """A text, the number of its template, and its labels in order."""

    template: int
    text: str
    labels: tuple[Label, ...]


def read_templates(language: Language, half: Half) -> list[str]:
    """The templates of a language and half."""
    return (FOLDER / f"{language}.{half}.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n%%\n")


def take_marks(value: str) -> tuple[str, int, int]:
    """A value without the brackets around what is labelled, and where that begins and ends: all of it if there are none."""
    before, opened, rest = value.partition(MARKS[0])
    if not opened:
        return value, 0, len(value)
    secret, _, after = rest.partition(MARKS[1])
    return before + secret + after, len(before), len(before) + len(secret)


def fill(template: str, number: int, rng: Source) -> LabelledText:
    """A text made of a template."""
    parts: list[str] = []
    labels: list[Label] = []
    repeated: dict[tuple[str, str], str] = {}
    length = end = 0
    for match in SLOT.finditer(template):
        lookalike, slot, letter = match.groups()
        value = (LOOKALIKES if lookalike else VALUES)[slot](rng)
        if letter:
            value = repeated.setdefault((slot, letter), value)
        literal = template[end : match.start()]
        length += len(literal)
        if not lookalike:
            value, start, stop = take_marks(value)
            labels.append(Label(slot.partition(".")[0], length + start, length + stop))
        parts += [literal, value]
        length += len(value)
        end = match.end()
    return LabelledText(number, "".join([*parts, template[end:]]), tuple(labels))


def labelled_texts(
    language: Language, half: Half, *, seed: int = SEED, per_template: int = TEXTS_PER_TEMPLATE
) -> Iterator[LabelledText]:
    """The texts of a language and half: the same ones for the same seed."""
    for number, template in enumerate(read_templates(language, half)):
        rng = Source(f"{seed}/{language}/{half}/{number}", half)
        for _ in range(per_template):
            yield fill(template, number, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--per-template", type=int, default=TEXTS_PER_TEMPLATE)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        for half in HALVES:
            with (options.out / f"{language}.{half}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
                for row in labelled_texts(language, half, seed=options.seed, per_template=options.per_template):
                    labels = [label._asdict() for label in row.labels]
                    file.write(json.dumps({"text": row.text, "labels": labels}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
