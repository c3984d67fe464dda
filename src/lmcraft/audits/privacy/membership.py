"""Membership inference: scores that are higher for documents that a model was trained on, and how well they tell.

| attack | score |
|---|---|
| `loss` | minus the mean loss of the document's tokens (Yeom et al., arXiv 1709.01604) |
| `zlib` | minus the loss of the document / its size when compressed (Carlini et al., arXiv 2012.07805, section 5.2) |
| `min-k` | mean log-probability of the least likely tokens (Shi et al., arXiv 2310.16789) |
| `min-k++` | the same of z-scores: how far a token is above the model's own samples (arXiv 2404.02936) |

Shapes: N documents, T tokens that are predicted, V vocabulary, B rows, C width.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats
from lmcraft.statistics.ranking import roc_area as auc_with_interval
from lmcraft.statistics.ranking import true_positive_rate

__all__ = [
    "Attack",
    "TokenScores",
    "attack_scores",
    "auc_with_interval",
    "score_documents",
    "score_tokens",
    "true_positive_rate",
]

Attack = Literal["loss", "zlib", "min-k", "min-k++"]
LEAST_LIKELY_SHARE = 0.2  # of the tokens, for Min-K% and Min-K%++; arXiv 2404.02936 finds 0.1 to 0.5 nearly equal
TOKENS_PER_BATCH = 8192
LOGITS_PER_CHUNK = 1 << 24
MIN_DEVIATION = 1e-6  # of log-probabilities; a distribution with less has one possible token


@dataclass(frozen=True)
class TokenScores:
    """What a model says of the tokens of one document after those before them."""

    logprobs: Floats
    """Log-probability of each token, (T,), in nats."""
    means: Floats
    """Mean log-probability of a token that the model would draw there, (T,): minus the entropy."""
    deviations: Floats
    """Standard deviation of that log-probability, (T,)."""
    greedy: NDArray[np.bool_]
    """Whether each token is the most likely one, (T,)."""

    @classmethod
    def blank(cls, size: int) -> "TokenScores":
        """Scores to be filled in."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size, np.bool_))

    def selected(self, mask: NDArray[np.bool_]) -> "TokenScores":
        """The scores of some of the tokens; `mask` is (T,)."""
        return TokenScores(self.logprobs[mask], self.means[mask], self.deviations[mask], self.greedy[mask])

    @property
    def loss(self) -> float:
        """Mean over the tokens, in nats; infinite without tokens."""
        return float(-self.logprobs.mean()) if len(self.logprobs) else inf


def score_tokens(model: Transformer, documents: Sequence[Sequence[int]]) -> list[TokenScores]:
    """Score the tokens of documents; a document longer than the model's context is read in windows.

    Args:
        model: the model; it is left as it is.
        documents: token ids of each. The first token is not predicted, so put the end token before each, if the model has
            learned documents that way (`interpretability.influence.documents.Documents.sequence`).
    """
    context = model.config.max_position_embeddings
    windows = [
        (number, start, list(ids[start : start + context]))
        for number, ids in enumerate(documents)
        for start in range(0, max(1, len(ids) - 1), max(1, context - 1))
    ]
    sizes = [max(0, len(ids) - 1) for ids in documents]
    scores = [TokenScores.blank(size) for size in sizes]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in _batches([window for window in windows if len(window[2]) > 1]):
                for (number, start, ids), columns in zip(batch, _score_rows(model, [row[2] for row in batch]), strict=True):
                    places = slice(start, start + len(ids) - 1)
                    score = scores[number]
                    arrays = (score.logprobs, score.means, score.deviations, score.greedy)
                    for values, column in zip(arrays, columns, strict=True):
                        values[places] = column[: len(ids) - 1]
    finally:
        model.train(was_training)
    return scores


Window = tuple[int, int, list[int]]
"""The number of a document, where the window begins in it, and its token ids."""


def _batches(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows of about equal length together."""
    batch: list[Window] = []
    for window in sorted(windows, key=lambda window: len(window[2])):
        if batch and (len(batch) + 1) * len(window[2]) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _score_rows(model: Transformer, rows: Sequence[list[int]]) -> Iterator[Floats]:
    """Of each row, the columns of `TokenScores`, (4, T); padding included."""
    length = max(map(len, rows))
    ids_BT = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=model.device)
    hidden_NC = model.hidden_states(ids_BT)[:, :-1].flatten(0, 1)
    targets_N = ids_BT[:, 1:].flatten()
    count = max(1, LOGITS_PER_CHUNK // model.config.vocab_size)
    chunks = [
        _score_targets(model.logits(hidden_NC[start : start + count]), targets_N[start : start + count])
        for start in range(0, len(targets_N), count)
    ]
    yield from torch.cat(chunks, dim=1).reshape(4, len(rows), length - 1).transpose(0, 1).cpu().numpy()


def _score_targets(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    logprobs_NV = logits_NV.float().log_softmax(dim=-1)
    probabilities_NV = logprobs_NV.exp()
    logprobs_NV = logprobs_NV.clamp(min=-1e4)  # 0 * -inf is not a number
    means_N = (probabilities_NV * logprobs_NV).sum(dim=-1)
    squares_N = (probabilities_NV * (logprobs_NV - means_N[:, None]).square()).sum(dim=-1)
    chosen_N = logprobs_NV.gather(1, targets_N[:, None]).squeeze(1)
    greedy_N = logprobs_NV.argmax(dim=-1) == targets_N
    return torch.stack([chosen_N, means_N, squares_N.sqrt(), greedy_N.to(means_N)]).double()


def _least_likely(values: Floats) -> float:
    count = max(1, ceil(LEAST_LIKELY_SHARE * len(values)))
    return float(np.partition(values, count - 1)[:count].mean()) if len(values) else -inf


def _score_min_k_plus_plus(scores: TokenScores) -> float:
    return _least_likely((scores.logprobs - scores.means) / np.maximum(scores.deviations, MIN_DEVIATION))


_SCORES: dict[Attack, Callable[[TokenScores], float]] = {
    "loss": lambda scores: -scores.loss,
    "min-k": lambda scores: _least_likely(scores.logprobs),
    "min-k++": _score_min_k_plus_plus,
}


def attack_scores(scores: Sequence[TokenScores], attack: Attack = "loss", texts: Sequence[str] = ()) -> Floats:
    """The membership score of each document, (N,); higher: more likely to be in the training data.

    Args:
        scores: of the documents.
        attack: the name of the attack.
        texts: of the documents; only zlib needs them.

    Raises:
        UserError: there is no such attack.
        ValueError: the texts are missing.
    """
    if attack not in get_args(Attack):
        raise UserError(f"attack='{attack}' does not exist: use {', '.join(get_args(Attack))}")
    if attack != "zlib":
        return np.array([_SCORES[attack](score) for score in scores], dtype=np.float64)
    if len(texts) != len(scores):
        raise ValueError(f"{len(texts)} texts of {len(scores)} documents")
    sizes = [len(zlib.compress(text.encode("utf-8", "surrogatepass"))) for text in texts]
    return np.array([score.logprobs.sum() / size for score, size in zip(scores, sizes, strict=True)], dtype=np.float64)


def score_documents(
    model: Transformer, documents: Sequence[Sequence[int]], attack: Attack = "loss", texts: Sequence[str] = ()
) -> Floats:
    """`attack_scores` of the `score_tokens` of documents, (N,)."""
    return attack_scores(score_tokens(model, documents), attack, texts)
