"""Which examples are for validation."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.examples import Conversation, Example, Labeled
from lmcraft.finetuning.splits import describe_repetitions, read_splits, split_examples
from tests.finetuning.chat import message, write_rows


def test_equal_examples_are_in_the_same_split() -> None:
    examples: list[Example] = [Labeled(f"text {n}", ("a",)) for n in range(200)]
    training, validation = split_examples([*examples, *examples], 0.2, 1)
    assert not {*training} & {*validation} and len(training) + len(validation) == 400 and 40 < len(validation) < 120
    assert split_examples(examples, 0.2, 1)[1] != split_examples(examples, 0.2, 2)[1]


def test_the_split_of_recorded_figures_is_kept() -> None:
    examples: list[Example] = [Labeled(f"text {n}", ("a",)) for n in range(20)]
    assert split_examples(examples, 0.3, 1)[1] == [examples[n] for n in (2, 3, 8, 10, 12, 14)]


def test_where_an_example_stands_does_not_change_its_split() -> None:
    examples: list[Example] = [Labeled(f"text {n}", ("a",), origin=f"x.csv:{n}") for n in range(20)]
    moved: list[Example] = [Labeled(f"text {n}", ("a",), origin=f"y.csv:{n + 7}") for n in range(20)]
    assert split_examples(examples, 0.3, 1) == split_examples(moved, 0.3, 1)


@pytest.mark.parametrize("number", [2, 3, 5, 12])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_both_splits_have_examples_however_few_there_are(number: int, share: float) -> None:
    for seed in range(30):
        examples: list[Example] = [Conversation((message("user", f"{n} {seed}"),)) for n in range(number)]
        training, validation = split_examples(examples, share, seed)
        assert training and validation and Counter(map(repr, training + validation)) == Counter(map(repr, examples))


def test_every_label_occurs_in_training() -> None:
    labels = ["a"] * 8 + ["b"] * 2 + ["c"] * 2 + ["d"]
    for seed in range(50):
        examples: list[Example] = [Labeled(f"text {n} {seed}", (label,)) for n, label in enumerate(labels)]
        training, validation = split_examples(examples, 0.2, seed)
        assert validation and {example.labels for example in training if isinstance(example, Labeled)} == {
            ("a",),
            ("b",),
            ("c",),
            ("d",),
        }


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ([Labeled("a", ("x",))], "there is one example, so that none can be held out"),
        ([Labeled("a", ("x",))] * 12, "all 12 examples are equal, so that none can be held out"),
        ([Labeled("a", ("x",)), Labeled("b", ("y",))], "each of the 2 examples has a label that no other text has"),
    ],
)
def test_examples_that_cannot_be_split_are_refused(examples: list[Example], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        split_examples(examples, 0.1, 1)


def config(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> FinetuneConfig:
    return FinetuneConfig("no such model", (write_rows(folder / "data.jsonl", rows),), **settings)


def test_data_are_checked_without_the_model(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(12)]
    splits = read_splits(config(tmp_path, rows))
    assert splits is not None and len(splits.training) + len(splits.validation) == splits.stats.rows == 12
    with pytest.raises(UserError, match="objective=dpo learns from preferences"):
        read_splits(config(tmp_path, rows, objective="dpo"))


def test_repeated_files_and_validation_examples_are_pointed_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(12)]
    first, second = (write_rows(tmp_path / name, rows[start:]) for name, start in (("a.jsonl", 0), ("b.jsonl", 9)))

    def lines(*data: Path, validation: tuple[Path, ...] = ()) -> list[str]:
        settings = FinetuneConfig("no such model", data, validation_data=validation)
        splits = read_splits(settings)
        assert splits is not None
        return list(describe_repetitions(settings, splits))

    assert lines(first) == lines(first, second) == []
    assert lines(first, tmp_path / "." / "a.jsonl") == [f"data has '{first}' 2 times, and so each of its examples"]
    assert lines(first, validation=(second,))[0].startswith("3 of the 3 validation examples are training examples, too")
    assert lines(first, validation=(first,))[0].startswith("12 of the 12 validation examples")
