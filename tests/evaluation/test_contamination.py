"""Items that training data contain are named, and no others."""

import random
from pathlib import Path

import pytest

from lmcraft import PrepareConfig, prepare
from lmcraft.evaluation.contamination import find_overlap, read_documents
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.run import Evaluation
from lmcraft.folder import DatasetFolder
from tests.evaluation.conftest import WriteTask

WORDS = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("al", "er", "in", "ot", "um", "ash", "ick")]


def make_text(numbers: random.Random, length: int = 25) -> str:
    return " ".join(numbers.choices(WORDS, k=length))


def test_twenty_leaked_items_of_a_thousand_are_found() -> None:
    numbers = random.Random(0)
    items = {n: f"Question: {make_text(numbers)}? Answer: {make_text(numbers, 3)}" for n in range(1000)}
    leaked = set(numbers.sample(range(1000), 20))
    documents = [make_text(numbers, 400) for _ in range(200)]
    for n, item in enumerate(sorted(leaked)):
        text = items[item].upper().replace(" ", "\n  ") if n % 2 else items[item]
        documents[n * 9] = f"{documents[n * 9]} {text}, {make_text(numbers)}"
    overlap = find_overlap(items, documents)
    assert overlap.contained == leaked
    assert overlap.unchecked == frozenset()


def test_instructions_that_all_items_share_tell_nothing() -> None:
    numbers = random.Random(1)
    instructions = make_text(numbers, 30)
    items = {n: f"{instructions} {make_text(numbers)}" for n in range(20)}
    assert find_overlap(items, [instructions, items[3]]).contained == {3}


@pytest.mark.parametrize(("length", "contained"), [(7, False), (8, True), (12, True), (13, True), (14, True)])
def test_short_items_are_compared_as_a_whole(length: int, contained: bool) -> None:
    text = " ".join(WORDS[:length])
    overlap = find_overlap({0: text}, [f"before {text} after"])
    assert (0 in overlap.contained, 0 in overlap.unchecked) == (contained, not contained)


def test_twelve_words_of_a_long_item_are_not_enough() -> None:
    text = " ".join(WORDS[:30])
    assert not find_overlap({0: text}, [" ".join(WORDS[:12])]).contained
    assert find_overlap({0: text}, [" ".join(WORDS[5:18])]).contained == {0}


def test_figures_are_shown_without_the_items_that_were_read(
    write_task: WriteTask, model: EvaluatedModel, tmp_path: Path
) -> None:
    numbers = random.Random(2)
    rows = [{"q": make_text(numbers, 15), "endings": ["al", "er"], "label": 0} for _ in range(8)]
    (tmp_path / "text.txt").write_text("\n\n".join([rows[5]["q"] + " al", *(make_text(numbers, 60) for _ in range(40))]))
    folder = prepare(
        PrepareConfig(str(tmp_path / "text.txt"), out=tmp_path / "data", tokenizer_type="characters", validation=0)
    )
    task = write_task(rows, kind="multiple_choice", prompt="{{ q }}", choices="endings", answer="label")
    result = Evaluation(model, "hash", {}, tmp_path / "results", DatasetFolder(tmp_path / "data")).run(task)
    assert folder.path == tmp_path / "data"
    assert result.overlap is not None
    assert result.overlap.contained == {5}
    assert {figure.count for figure in result.clean_figures} == {7}
    assert "".join(read_documents(folder)).split() == (tmp_path / "text.txt").read_text().split()
