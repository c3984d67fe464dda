from typing import Any

import pytest

from lmcraft.annotation.sources.decisions import SEVERITY, weigh_decision
from lmcraft.moderation.categories import CATEGORIES
from lmcraft.moderation.moderator import Moderator


@pytest.mark.parametrize(
    ("decision", "weights"),
    [
        ({"scores": {"hate": 0.5, "spam": 0.9}, "categories": ["hate", "spam"]}, (0.8, 1.0)),
        ({"scores": {"hate": 0.95}, "categories": ["hate"]}, (0.8, 0.1)),
        ({"scores": {"spam": 0.3}, "categories": []}, (0.2, 0.6)),
        ({"scores": {}, "categories": []}, (0.0, 0.0)),
        ({"scores": {}, "categories": [], "failed": True}, (0.5, 1.0)),
        ({"categories": ["other list's"]}, (0.5, 1.0)),
        ({}, (0.0, 0.0)),
        ({"scores": {"hate": float("nan")}, "categories": ["hate"]}, (0.8, 1.0)),
        ({"scores": {"hate": "much"}, "categories": 7}, (0.8, 1.0)),
        ({"scores": {"hate": 12}}, (0.8, 0.0)),
        ({"scores": {"hate": -(10**400)}}, (0.8, 0.0)),
        ({"scores": {"hate": float("inf")}}, (0.8, 0.0)),
        ({"scores": [1]}, (0.0, 0.0)),
    ],
)
def test_severity_and_uncertainty(decision: dict[str, Any], weights: tuple[float, float]) -> None:
    assert weigh_decision(decision) == pytest.approx(weights)


def test_every_category_has_a_severity() -> None:
    assert sorted(SEVERITY) == sorted(CATEGORIES)


def test_a_real_decision() -> None:
    decision = Moderator.open().judge("You are a fucking idiot.", "answer")
    severity, uncertainty = weigh_decision(decision.as_json())
    assert severity > 0
    assert 0 <= uncertainty <= 1
