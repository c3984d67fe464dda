"""The heads of a model that copies by construction are named, explained and confirmed."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.attention.checks import rank_heads
from lmcraft.interpretability.attention.head_scores import measure_repetition_gain, repeat_tokens, score_heads
from lmcraft.interpretability.attention.view import explain_attention
from lmcraft.interpretability.interventions import ablate_heads
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.interpretability.attention.copying import INDUCTION, PREVIOUS, VOCABULARY, copying_model
from tests.tiny import tiny_model

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _language_model(size: int = VOCABULARY, **settings: object) -> LanguageModel:
    tokenizer = train_characters([LETTERS[:size]])
    transformer = copying_model() if not settings else tiny_model(**settings)
    return LanguageModel(transformer, tokenizer)


def test_heads_that_copy_are_named() -> None:
    scores = score_heads(_language_model())
    assert rank_heads(scores.induction) == [INDUCTION]
    assert rank_heads(scores.previous_token) == [PREVIOUS]
    assert rank_heads(scores.duplicate_token) == []
    assert float(scores.induction[INDUCTION]) > 0.95 and float(scores.previous_token[PREVIOUS]) > 0.95


def test_repetition_helps_only_with_the_induction_head() -> None:
    model = _language_model()
    tokens = repeat_tokens(model.tokenizer, model.transformer, sequences=3, seed=4)
    rows = tokens.input_ids
    assert torch.equal(rows[:, tokens.start : tokens.start + tokens.half], rows[:, tokens.start + tokens.half :])
    gains = [
        measure_repetition_gain(model.transformer, tokens, ablate_heads(heads)) for heads in ([], [PREVIOUS], [INDUCTION])
    ]
    assert gains[0] > 1.5 and gains[1] < gains[0] / 2 and gains[2] == pytest.approx(0, abs=1e-4)


def test_the_view_explains_and_confirms_them() -> None:
    model = _language_model()
    ids = model.tokenizer.encode("thequickfoxsawthequick")
    view = explain_attention(model, ids, seed=1)
    reasons = {(reason.layer, reason.head): reason for reason in view.reasons}
    reason = reasons[INDUCTION]
    assert ids[reason.key - 1] == ids[reason.query] and reason.parts[0][:2] == ("embedding", "head 0.1")
    assert reason.of_query[0][0] == "embedding" and reason.of_key[0][0] == "head 0.1"
    assert reasons[PREVIOUS].parts[0][:2] == ("position embedding", "position embedding")
    checks = {check.subject.split(",")[0]: check for check in view.checks}
    assert checks["induction head 1.2"].is_passed and checks["previous-token head 0.1"].is_passed
    composition = checks["head 0.1 in the keys of head 1.2"]
    assert composition.after < 0.2 < 0.9 < composition.before and not composition.is_possible
    assert len(view.heads) == 24 and all(len(head.keys) == len(ids) for head in view.heads)


def test_a_model_that_does_not_copy_has_no_such_heads() -> None:
    view = explain_attention(_language_model(vocab_size=VOCABULARY), [1, 2, 3, 1, 2, 3])
    assert not any("induction" in check.subject for check in view.checks)


def test_a_text_of_one_token_has_heads_but_nothing_to_explain() -> None:
    view = explain_attention(_language_model(), [3])
    assert view.reasons == [] and {tuple(head.keys[0]) for head in view.heads} == {(0,)}


def test_a_vocabulary_or_a_context_that_is_too_small_is_refused() -> None:
    with pytest.raises(UserError, match="a vocabulary of 3 are too small"):
        score_heads(_language_model(3))
    with pytest.raises(UserError, match="a context of 7 tokens"):
        score_heads(_language_model(max_position_embeddings=7))


def test_scores_of_a_model_in_bfloat16_add_up() -> None:
    model = _language_model()
    model.transformer.to(torch.bfloat16).compute_dtype = torch.bfloat16
    ids = model.tokenizer.encode("thequickfoxsawthequick")
    for reason in explain_attention(model, ids).reasons:
        assert sum(part for *_, part in reason.parts) == pytest.approx(reason.score, rel=1e-4)
    assert model.transformer.compute_dtype == torch.bfloat16
