"""Exposure, extraction, and shadow models."""

import numpy as np
import pytest
import torch

from lmcraft.audits.privacy.copies import Shadows
from lmcraft.audits.privacy.exposure import exposure_by_repetitions, score_canaries
from lmcraft.audits.privacy.extraction import measure_extraction
from lmcraft.audits.privacy.membership import TokenScores
from lmcraft.data.canaries import Canaries, Canary
from lmcraft.statistics.ranking import roc_area
from tests.tiny import tiny_model

CANDIDATES = tuple(range(40, 71))
ITEMS = tuple(Canary((5, number, 2 * number, 20 + number), number % 2 == 0, 1) for number in range(1, 13))


def test_exposure_is_the_rank_of_the_secret() -> None:
    model = tiny_model()
    scores = score_canaries(model, Canaries(ITEMS, CANDIDATES, end=3, seed=0))
    for item, score, exposure in zip(ITEMS, scores.scores, scores.exposures, strict=True):
        logprobs = model(torch.tensor([[3, *item.prefix]]))[0, -1].detach().log_softmax(-1)
        others = logprobs[list(CANDIDATES)]
        assert score == pytest.approx(float(logprobs[item.secret] - others.mean()), abs=1e-4)
        rank = 1 + int((others > logprobs[item.secret]).sum())
        assert exposure == pytest.approx(5 - np.log2(rank), abs=1e-6)
    assert scores.largest == 5
    assert 1.2 < scores.by_chance < 1.5


def test_levels_are_powers_of_two() -> None:
    scores = score_canaries(tiny_model(), Canaries(ITEMS, CANDIDATES, end=None, seed=0))
    levels = exposure_by_repetitions(scores, [0, 0, 1, 1, 2, 3, 4, 7, 8, 15, 16, 31])
    assert [(level.first, level.last, level.count) for level in levels] == [
        *((0, 0, 2), (1, 1, 2), (2, 3, 2), (4, 7, 2), (8, 15, 2), (16, 31, 2))
    ]


def scores_of(greedy: list[bool], logprob: float = -1.0) -> TokenScores:
    size = len(greedy)
    return TokenScores(np.full(size, logprob), np.zeros(size), np.zeros(size), np.array(greedy))


def test_a_document_is_extracted_after_a_prompt() -> None:
    verbatim = [False] * 3 + [True] * 3
    extraction = measure_extraction([scores_of(verbatim), scores_of(verbatim[::-1]), scores_of([True] * 5)], 3)
    assert extraction.count == 2  # the third is too short
    assert extraction.greedy.value == 0.5  # in the second, the part is the prompt
    assert extraction.sampled.value == pytest.approx(1 - (1 - np.exp(-3)) ** 100)


def test_no_document_is_long_enough() -> None:
    extraction = measure_extraction([scores_of([True] * 5)], 3)
    assert extraction.count == 0 and np.isnan(extraction.greedy.value)


def test_shadow_models_know_how_hard_each_item_is() -> None:
    rng = np.random.default_rng(0)
    hardness, effect = rng.normal(size=300) * 5, 1.0
    coins = rng.random((9, 300)) < 0.5
    scores = hardness + effect * coins + rng.normal(size=(9, 300)) * 0.5
    shadows, target, truth = Shadows(scores[1:], coins[1:]), scores[0], coins[0]
    plain = roc_area(target[truth], target[~truth]).value
    for attack in (shadows.likelihood_ratios(target), shadows.differences(target)):
        assert roc_area(attack[truth], attack[~truth]).value > 0.85 > plain + 0.2


def test_items_that_all_shadow_models_have_read_tell_nothing() -> None:
    shadows = Shadows(np.ones((3, 2)), np.array([[True, False]] * 3))
    assert shadows.likelihood_ratios(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
    assert shadows.differences(np.array([2.0, 2.0])).tolist() == [0.0, 1.0]
