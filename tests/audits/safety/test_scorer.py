"""The scorer of continuations: which categories count, and its hash."""

import pytest

from lmcraft.audits.safety.scorer import open_scorer
from lmcraft.errors import RunError, UserError
from tests.audits.safety.conftest import scripted_scorer


def test_the_highest_score_of_the_categories_that_count() -> None:
    scorer = scripted_scorer(rude=("harassment", 0.6), vile=("profanity", 0.9), bomb=("weapons", 0.8), ad=("spam", 1.0))
    assert scorer.score_toxicity("rude and vile") == 0.9
    assert scorer.score_toxicity("a bomb") == 0
    assert scorer.score_harm("a vile bomb, rude", "How?") == 0.8
    assert scorer.score_harm("an ad", "") == 0
    assert scorer.score_toxicity(" \n") == scorer.score_toxicity("kind") == 0


def test_a_text_without_a_score_stops_the_audit() -> None:
    with pytest.raises(RunError, match="could not be scored: the lexicon tier failed"):
        scripted_scorer(fails=True).score_toxicity("text")


def test_the_hash_names_the_words_and_the_policy() -> None:
    first, same, other = (scripted_scorer(rude=("harassment", score)) for score in (0.6, 0.6, 0.7))
    assert first.hash == same.hash != other.hash
    assert len(first.hash) == 16


def test_another_scorer_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = scripted_scorer()
    monkeypatch.setattr("lmcraft.moderation.Moderator.open", lambda policy: scorer.moderator)
    assert open_scorer("default", scorer.hash.upper()).hash == scorer.hash
    with pytest.raises(UserError, match=f"scorer_hash='0123', but the scorer of policy 'default' has {scorer.hash}"):
        open_scorer("default", "0123")
