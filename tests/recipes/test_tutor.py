"""Exercises of the recipe tutor: what is asked, what hints say, and how answers are marked."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmcraft.retrieval.index import Vectors
from recipes.__main__ import RECIPES

sys.path.append(str(RECIPES / "tutor"))

from chapter import read_chapter
from exercises import Exercise, leaks, make_exercises
from marking import Explanations, is_right, overlap

CHAPTER = """# Lists and stacks

A list keeps items in order, and it can grow whenever you like. Every stack is a list that only changes at its end.

list.append(x)

Put one more item at the end.

list.pop([i])

Take the item at a position away, and return it.

```
>>> numbers = [1, 2]
>>> numbers.pop()
2
>>> numbers
[1, 2]
>>> {3}
{3}
```

# Queues and tuples

Some queues serve the customer who came first, so a queue needs both ends. All tuples stay as they were made.
Nobody needs tuples for this. No stack was ever a tuple, and stacks are no queues either.
"""


@pytest.fixture(scope="module")
def exercises(tmp_path_factory: pytest.TempPathFactory) -> list[Exercise]:
    file = tmp_path_factory.mktemp("chapter") / "lists.md"
    file.write_text(CHAPTER, encoding="utf-8")
    return make_exercises(read_chapter(file))


def test_sections_of_a_chapter(tmp_path: Path) -> None:
    (tmp_path / "lists.md").write_text(CHAPTER, encoding="utf-8")
    lists, queues = read_chapter(tmp_path / "lists.md")
    assert (lists.title, queues.title) == ("Lists and stacks", "Queues and tuples")
    assert [definition.name for definition in lists.definitions] == ["append", "pop"]
    assert len(lists.sessions[0]) == 4
    assert lists.sentences[0] == "A list keeps items in order, and it can grow whenever you like."


def test_output_is_asked_only_where_the_chapter_is_true(exercises: Sequence[Exercise]) -> None:
    outputs = [exercise for exercise in exercises if exercise.kind == "output"]
    assert [exercise.answer for exercise in outputs] == ["2"]  # numbers is [1] then, and the last line follows that error
    assert outputs[0].question.endswith(">>> numbers = [1, 2]\n>>> numbers.pop()")


def test_no_hint_and_no_question_gives_the_answer(exercises: Sequence[Exercise]) -> None:
    assert {exercise.kind for exercise in exercises} >= {"output", "explain"}
    for exercise in exercises:
        assert not any(leaks(text, exercise) for text in (exercise.question, *exercise.hints)), exercise


@pytest.mark.parametrize(
    ("answer", "typed", "right"),
    [
        ("[1, 'a']", '[1,"a"] ', True),
        ("[1, 'a']", "[1, 'b']", False),
        ("2", "2.0", False),
        ("True", "true", False),
        ("<map object>", "<map  object>", True),
        ("2", "", False),
        ("2", "(" * 5000, False),
        ("2", "\0", False),
    ],
)
def test_marks_of_outputs(answer: str, typed: str, right: bool) -> None:
    assert is_right(Exercise("output", "s", "q", answer, ()), typed) == right


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("Reverse", True),
        (" the reverse. ", True),
        ("list.reverse()", True),
        ("revesre", True),
        ("revers", True),
        ("reversed", False),
        ("remove", False),
        ("", False),
        ("\x00", False),
    ],
)
def test_marks_of_words(typed: str, right: bool) -> None:
    exercise = Exercise("cloze", "s", "q", "reverse", (), ("reverse", "remove", "reversed", "pop"))
    assert is_right(exercise, typed) == right


class ToyEncoder:
    """Vectors of what is done, and where."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        words = (("add", "put"), ("delete", "remove"), ("end", "last"), ("start", "first"))
        rows = [[any(word in text for word in group) + 0.01 for group in words] for text in texts]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def knows(self, text: str) -> bool:
        return True


def test_an_explanation_must_be_more_like_its_own_reference_than_like_others() -> None:
    references = {"append": "add at the end", "pop": "delete the last", "shift": "delete the first"}
    marked = [("append", "put it last", True), ("append", "put it first", False), ("pop", "remove the end", True)]
    explanations = Explanations(ToyEncoder(), references).calibrated(marked)
    assert explanations.is_right("shift", "remove what is at the start")
    assert not explanations.is_right("shift", "remove what is at the end")
    exercise = Exercise("explain", "s", "Explain: pop", "delete the last", ())
    assert is_right(exercise, "remove the end", explanations)


def test_words_in_common() -> None:
    assert overlap("a b", "B c") == 0.5
    assert overlap("", "") == 0.0
