"""Exercises with answers that are true: from a chapter's code, which is run, from its definitions and its sentences."""

import doctest
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chapter import Definition, Section

from lmcraft.evaluation.sandbox import run_program

MAX_OUTPUT_CHARS = 60
CHOICES = 4
SENTENCE_CHARS = range(40, 240)
CHINESE_SENTENCE_CHARS = range(15, 120)
_TERM = re.compile(r"[A-Za-z_][A-Za-z0-9_+-]{2,}")
_CHINESE = re.compile(r"[一-鿿]")
REPLAY = """import io, json, contextlib
examples = json.loads({examples!r})
names = {{"__name__": "__main__"}}
for source, want in examples:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "<lesson>", "single"), names)
    assert out.getvalue() == want, (source, out.getvalue())
"""


@dataclass(frozen=True)
class Exercise:
    """A question with one right answer.

    `kind` is output (what Python prints), name (which function does this), cloze (the word that is left out) or explain (in
    one's own words). `choices` is empty where the answer is written.
    """

    kind: str
    section: str
    question: str
    answer: str
    hints: tuple[str, ...]
    choices: tuple[str, ...] = ()


def make_exercises(sections: Sequence[Section], seed: int = 0) -> list[Exercise]:
    """The exercises of a chapter, section by section, without those whose hints or questions give their answers away."""
    draw = random.Random(seed)
    definitions = [definition for section in sections for definition in section.definitions]
    words = _key_words(sections)
    made = [
        exercise
        for section in sections
        for exercise in (
            *_outputs(section, definitions),
            *_names(section, definitions, draw),
            *_clozes(section, words, draw),
        )
    ]
    made += [_explain(section, definition) for section in sections for definition in section.definitions]
    return [exercise for exercise in made if not leaks(exercise.question, exercise)]


def leaks(text: str, exercise: Exercise) -> bool:
    """Whether a text gives away an answer: it has it as a word, or, of an explanation, five of its words in a row."""
    if exercise.kind == "explain":
        words = exercise.answer.lower().split()
        return any(" ".join(words[n : n + 5]) in " ".join(text.lower().split()) for n in range(max(1, len(words) - 4)))
    if exercise.kind == "output":  # a session shows other numbers, too
        return _normal(exercise.answer) in [_normal(line) for line in text.splitlines()[-1:]]
    return re.search(rf"(?<![\w-]){re.escape(exercise.answer)}(?![\w-])", text, re.IGNORECASE) is not None


def _normal(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _safe_hints(exercise: Exercise) -> Exercise:
    """The exercise with those hints that do not give it away."""
    kept = tuple(
        hint for hint in exercise.hints if not leaks(hint, exercise) and _normal(exercise.answer) not in _normal(hint)
    )
    return Exercise(**{**exercise.__dict__, "hints": kept})


def _outputs(section: Section, definitions: Sequence[Definition]) -> Iterator[Exercise]:
    """What does Python print? Only where it really prints what the chapter says."""
    for session in section.sessions:
        for n, example in enumerate(session):
            answer = example.want.strip()
            asks = example.exc_msg is None and 0 < len(answer) <= MAX_OUTPUT_CHARS and "\n" not in answer
            if not asks or any(e.source == example.source for e in session[:n]) or not _prints(session[: n + 1]):
                continue
            shown = "\n".join(_shown(e) for e in session[:n]) + f"\n>>> {example.source.strip()}"
            called = [d for d in definitions if re.search(rf"\b{d.name}\(", example.source)]
            hints = (f"Python prints {_describe(answer)}.", *(f"{d.signature}: {d.text}" for d in called[:1]))
            yield _safe_hints(Exercise("output", section.title, f"What does Python print?\n{shown.strip()}", answer, hints))


def _prints(session: Sequence[doctest.Example]) -> bool:
    examples = json.dumps([(example.source, example.want) for example in session])
    return run_program(REPLAY.format(examples=examples), seconds=10).passed


def _shown(example: doctest.Example) -> str:
    first, *rest = example.source.rstrip("\n").split("\n")
    return "\n".join([f">>> {first}", *(f"... {line}" for line in rest), *example.want.rstrip("\n").split("\n")]).rstrip(
        "\n"
    )


def _describe(output: str) -> str:
    kinds = {"[": "a list", "{": "a set or a dictionary", "(": "a tuple", "'": "a text in quotes", '"': "a text in quotes"}
    if output in ("True", "False"):
        return "a truth value"
    return kinds.get(output[0], "a number" if re.fullmatch(r"[-\d.e+]+", output) else "a line of text")


def _names(section: Section, definitions: Sequence[Definition], draw: random.Random) -> Iterator[Exercise]:
    """Which function does this? The choices are functions of the same chapter."""
    for definition in section.definitions:
        others = sorted({d.name for d in definitions if d.name != definition.name and d.text != definition.text})
        if len(others) < CHOICES - 1:
            return
        choices = [definition.name, *draw.sample(others, CHOICES - 1)]
        draw.shuffle(choices)
        hints = (f"It has {len(definition.name)} letters, and is explained in “{section.title}”.",)
        question = f"Which method does this? {definition.text}"
        yield _safe_hints(Exercise("name", section.title, question, definition.name, hints, tuple(choices)))


def _clozes(section: Section, words: Sequence[str], draw: random.Random) -> Iterator[Exercise]:
    """Which word is missing? A key word, which the sentence has once; the other choices are nowhere in the section."""
    used: set[str] = set()
    for n, sentence in enumerate(section.sentences):
        chinese = len(_CHINESE.findall(sentence)) > 5
        if len(sentence) not in (CHINESE_SENTENCE_CHARS if chinese else SENTENCE_CHARS):
            continue
        inside = [word for word in words if len(_occurrences(word, sentence)) == 1 and word.lower() not in used]
        others = [word for word in words if not _occurrences(word, " ".join(section.sentences))]
        if not inside or len(others) < CHOICES - 1:
            continue
        answer = inside[0]
        used.add(answer.lower())
        (start, end), *_ = _occurrences(answer, sentence)
        choices = [answer, *draw.sample(others, CHOICES - 1)]
        draw.shuffle(choices)
        ask = "空格里是哪个词？" if chinese else "Which word is missing?"
        neighbors = [s for s in section.sentences[max(0, n - 1) : n + 2] if s != sentence]
        hints = tuple(f"同一节里还说：{s}" if chinese else f"The same section says: {s}" for s in neighbors)
        question = f"{ask}\n{sentence[:start]}____{sentence[end:]}"
        yield _safe_hints(Exercise("cloze", section.title, question, answer, hints, tuple(choices)))


def _occurrences(word: str, text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE)]


def _key_words(sections: Sequence[Section]) -> list[str]:
    """Words of headings and definitions that the text uses, the rarest first."""
    text = " ".join(sentence for section in sections for sentence in section.sentences)
    counts = Counter(match[0].lower() for match in _TERM.finditer(text))
    named = [word for section in sections for word in _TERM.findall(section.title)]
    named += [definition.name for section in sections for definition in section.definitions]
    unique = {word.lower(): word for word in named if 2 <= counts[word.lower()] <= 40 and word.lower() not in COMMON}
    return sorted(unique.values(), key=lambda word: (counts[word.lower()], word))


_COMMON = "and for from how more not the their using with what when where which why other new all more way any"
COMMON = frozenset(_COMMON.split())


def _explain(section: Section, definition: Definition) -> Exercise:
    hints = (f"Read “{section.title}” again: it is one of the functions that are listed there.",)
    return _safe_hints(Exercise("explain", section.title, f"Explain: {definition.signature}", definition.text, hints))
