import numpy as np
import pytest
import torch

from lmcraft.audits.privacy.membership import attack_scores, auc_with_interval, score_documents, score_tokens
from lmcraft.errors import UserError
from tests.tiny import tiny_model


def _reference(model: torch.nn.Module, ids: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logprobs = model(torch.tensor([ids[:-1]])).double().log_softmax(-1)[0]
    means = (logprobs.exp() * logprobs).sum(-1)
    deviations = (logprobs.exp() * (logprobs - means[:, None]) ** 2).sum(-1).sqrt()
    return tuple(values.detach().numpy() for values in (logprobs[range(len(ids) - 1), ids[1:]], means, deviations))


def test_scores_of_documents_of_any_length_equal_those_of_each_alone():
    model = tiny_model()
    documents = [list(range(1, n)) for n in (60, 2, 9, 33, 1)] + [[]]
    for ids, score in zip(documents[:4], score_tokens(model, documents), strict=False):
        expected = _reference(model, ids)[: len(ids)] if len(ids) > 1 else [np.zeros(0)] * 3
        for values, reference in zip((score.logprobs, score.means, score.deviations), expected, strict=True):
            np.testing.assert_allclose(values, reference, atol=1e-4)


def test_a_document_longer_than_the_context_is_read_in_windows():
    model = tiny_model()
    ids = (list(range(90)) * 2)[:150]  # the context is 64
    score = score_tokens(model, [ids])[0]
    windows = [_reference(model, ids[start : start + 64])[0] for start in (0, 63, 126)]
    np.testing.assert_allclose(score.logprobs, np.concatenate(windows), atol=1e-4)


def test_the_model_stays_in_its_mode():
    model = tiny_model().train()
    score_tokens(model, [[1, 2, 3]])
    assert model.training


@pytest.mark.parametrize("attack", ["loss", "zlib", "min-k", "min-k++"])
def test_every_attack_tells_what_a_model_has_learned(attack):
    model = tiny_model()
    generator = torch.Generator().manual_seed(0)
    members, others = torch.randint(1, 96, (2, 8, 24), generator=generator).tolist()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    ids = torch.tensor(members)
    for _ in range(40):
        logits = model(ids[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    texts = [" ".join(map(str, row)) for row in members]
    assert (
        auc_with_interval(
            score_documents(model, members, attack, texts), score_documents(model, others, attack, texts)
        ).value
        > 0.95
    )


def test_documents_without_targets_have_the_lowest_score():
    scores = score_tokens(tiny_model(), [[5], [], [5, 6]])
    assert attack_scores(scores)[:2].tolist() == [-np.inf, -np.inf]
    assert attack_scores(scores, "min-k++")[2] > -np.inf


def test_an_unknown_attack_is_an_error():
    with pytest.raises(UserError, match="attack='guess' does not exist: use loss, zlib, min-k, min-k\\+\\+"):
        attack_scores([], "guess")
