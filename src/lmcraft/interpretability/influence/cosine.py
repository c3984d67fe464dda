"""The cosine of each training document's gradient with the gradient of a text, at the final weights.

The simplest estimate of influence: one step of gradient descent on a document lowers the loss of the text in proportion to
the product of the gradients (TracIn, arXiv 2002.08484, eq. 1, with a single checkpoint). The cosine takes out the length,
which would favor long documents and those that the model knows badly.

Shapes: N documents.
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
    """The cosines with all training documents, (N,), from -1 to 1; all parameters count, a tied matrix once.

    Positive: a step of gradient descent on the document lowers the loss of the text. Documents without targets have 0.

    Args:
        model: with its final weights; it is not changed.
        documents: that it was trained on.
        ids: tokens of the text, at least two.
        sequence_length: of the run's rows; longer documents are cut.
    """
    gradients = FullGradients(model)
    text = [gradient.clone() for gradient in gradients.of(ids, sequence_length)]
    length = _dot(text, text) ** 0.5
    scores = np.zeros(len(documents))
    with progress_bar("gradients of documents") as report:
        for number in range(len(documents)):
            own = gradients.of(documents.sequence(number).tolist(), sequence_length)
            product, norm = _dot(own, text), _dot(own, own) ** 0.5
            scores[number] = product / (norm * length) if norm * length > 0 else 0.0
            report(number + 1, len(documents))
    return scores


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    return sum(float(torch.dot(a.flatten(), b.flatten())) for a, b in zip(first, second, strict=True))
