"""What a task's results over the sizes of a family say about jumps."""

import random
from collections.abc import Sequence

import pytest

from lmcraft.evaluation.methods.generation import Generation
from lmcraft.evaluation.methods.multiple_choice import MultipleChoice
from lmcraft.evaluation.methods.perplexity import Perplexity
from lmcraft.evaluation.results import ItemResult, Measure, compute_figures
from lmcraft.pretraining.task_curves import SizeResult, summarize

ITEMS = 200


def size(
    parameters: int,
    accuracy: float | None,
    bits: float | None,
    measures: Sequence[Measure] = MultipleChoice.measures,
    items: int = ITEMS,
) -> SizeResult:
    """A size that has a share of its items right, whose answers cost so many bits per byte."""
    numbers, offset = random.Random(parameters), 7 * parameters  # so that sizes have different items right
    results = []
    for n in range(items):
        values = {} if accuracy is None else {measures[0].name: float((n + offset) % items < accuracy * items)}
        noise = random.Random(n).gauss(0, 1) + numbers.gauss(0, 0.05)  # items differ more than sizes do
        values |= {} if bits is None else {"bits_per_byte": 10 * (bits + noise)}
        results.append(ItemResult(n, values, {"bits_per_byte": 10.0}))
    return SizeResult(parameters, compute_figures(measures, results), results)


def test_a_jump_whose_bits_fall_before_it_has_a_smooth_counterpart() -> None:
    sizes = [size(10_000, 0.24, 2.0), size(30_000, 0.26, 1.8), size(90_000, 0.26, 1.6), size(300_000, 0.5, 1.4)]
    text = summarize(sizes, 0.25)
    assert text.startswith(
        "Accuracy is indistinguishable from chance (0.250) up to 90k parameters, and above it from 300k on. Bits per byte "
        "fall with every size, from "
    )
    assert "Already among the sizes at chance they fall (-0.39" in text and text.endswith(
        "the jump has a smooth counterpart."
    )


def test_a_jump_within_the_noise_is_doubted() -> None:
    text = summarize([size(10, 0.25, 2.0), size(30, 0.30, 1.8), size(90, 0.33, 1.6)], 0.25)
    assert "and above it from 90 on. These two do not differ beyond their uncertainty (+0.030, 95% interval" in text


def test_a_jump_without_a_fall_before_it_has_none() -> None:
    text = summarize([size(10, 0.25, 2.0), size(30, 0.25, 2.001), size(90, 0.7, 1.0)], 0.25)
    assert "Bits per byte do not fall with every size" in text and "has no smooth counterpart on these items" in text


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([size(10, 0.25, 2.0), size(30, 0.6, 1.0)], "Only one size is at chance"),
        (
            [size(10, 0.25, 2.0), size(30, 0.28, 1.0)],
            "indistinguishable from chance (0.250) up to 30 parameters, the largest",
        ),
        ([size(10, 0.1, 2.0), size(30, 0.28, 1.0)], "Accuracy is not above chance"),
        ([size(10, 0.6, 2.0), size(30, 0.7, 1.0)], "above chance (0.250) at every size, so there is no jump"),
        ([size(10, 0.25, 2.0), size(30, 0.6, 1.5), size(90, 0.28, 1.0)], "but not at every larger size: more items"),
        ([size(10, 0.0, 2.0, items=1), size(30, 1.0, 1.0, items=1)], "not above chance (0.250) up to 30 parameters"),
    ],
)
def test_what_is_no_clear_jump_is_called_so(sizes: list[SizeResult], message: str) -> None:
    assert message in summarize(sizes, 0.25)


def test_tasks_with_one_of_the_figures() -> None:
    written = [size(10, 0.1, None, Generation.measures), size(30, 0.5, None, Generation.measures)]
    assert summarize(written, None).startswith(
        "exact_match from the smallest size to the largest: 0.100, 0.500. The task has no"
    )
    texts = [size(10, None, 2.0, Perplexity.measures), size(30, None, 1.5, Perplexity.measures)]
    assert summarize(texts, None).startswith("Bits per byte fall with every size, from ")
    assert summarize(texts[:1], None).startswith("Bits per byte are ")
