"""Cosines of gradients."""

import numpy as np
import torch

from lmcraft.interpretability.influence.cosine import cosine_scores
from lmcraft.interpretability.influence.gradients import FullGradients
from tests.interpretability.influence.conftest import MakeDocuments
from tests.tiny import tiny_model

TEXTS = ["the cat sat on the mat", "a", "a dog ran and ran and ran", "the cat sat on the mat", "12345"]


def test_a_document_is_like_itself_and_its_copy(make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    ids = documents.tokens(0).tolist()
    scores = cosine_scores(tiny_model(), documents, ids, sequence_length=64)
    assert scores[0] == scores[3] == np.max(scores)
    assert abs(scores[0] - 1) < 1e-5
    assert np.all(np.abs(scores) <= 1 + 1e-5)


def test_cosines_are_those_of_a_dense_computation(make_documents: MakeDocuments) -> None:
    documents, model = make_documents(TEXTS), tiny_model()
    ids = documents.tokenizer.encode("a cat ran")
    scores = cosine_scores(model, documents, ids, sequence_length=10)
    gradients = FullGradients(model)

    def flat(tokens: list[int]) -> torch.Tensor:
        return torch.cat([gradient.flatten().double() for gradient in gradients.of(tokens, 10)])

    text = flat(ids)
    expected = [torch.cosine_similarity(text, flat(documents.tokens(n).tolist()), dim=0).item() for n in range(len(TEXTS))]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_document_of_one_token_has_no_influence(make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    documents.lengths[1] = 1
    assert cosine_scores(tiny_model(), documents, [1, 2, 3], sequence_length=64)[1] == 0
