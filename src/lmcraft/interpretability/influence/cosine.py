"""The cosine of each training document's gradient with the gradient of a text, at the final weights.

The simplest estimate of influence: one step of gradient descent on a document lowers the loss of the text in proportion to
the product of the gradients (TracIn, arXiv 2002.08484, eq. 1, with a single checkpoint). The cosine takes out the length,
which would favor long documents and those that the model knows badly.

Shapes: Q texts, N documents.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.gradients import FullGradients
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import progress_bar


def cosine_scores(
    model: Transformer, documents: Documents, ids: Sequence[int], *, sequence_length: int
) -> NDArray[np.float64]:
    """The cosines of a text with all training documents, (N,); see `cosine_scores_of_texts`."""
    scores: NDArray[np.float64] = cosine_scores_of_texts(model, documents, [ids], sequence_length=sequence_length)[0]
    return scores


def cosine_scores_of_texts(
    model: Transformer, documents: Documents, texts: Sequence[Sequence[int]], *, sequence_length: int
) -> NDArray[np.float64]:
    """The cosines of some texts with all training documents, (Q, N), from -1 to 1; all parameters count, a tied matrix once.

    Positive: a step of gradient descent on the document lowers the loss of the text. Documents without targets have 0.

    Args:
        model: with its final weights; it is not changed.
        documents: that it was trained on.
        texts: tokens of the texts, at least two each.
        sequence_length: of the run's rows; longer documents are cut.
    """
    gradients = FullGradients(model)
    of_texts = [[gradient.clone() for gradient in gradients.of(ids, sequence_length)] for ids in texts]
    lengths = [_dot(gradient, gradient) ** 0.5 for gradient in of_texts]
    scores_QN = np.zeros((len(texts), len(documents)))
    with progress_bar("gradients of documents") as report:
        for number in range(len(documents)):
            own = gradients.of(documents.sequence(number).tolist(), sequence_length)
            norm = _dot(own, own) ** 0.5
            for scores_N, text, length in zip(scores_QN, of_texts, lengths, strict=True):
                scores_N[number] = _dot(own, text) / (norm * length) if norm * length > 0 else 0.0
            report(number + 1, len(documents))
    return scores_QN


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    return sum(float(torch.dot(a.flatten(), b.flatten())) for a, b in zip(first, second, strict=True))
