"""Ranks passages for a question: BM25, vectors, or both by reciprocal rank fusion, and says how relevant they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.retrieval.documents import Document
from lmcraft.retrieval.passages import Passage, cut_document
from lmcraft.retrieval.terms import clues, terms

RANK_CONSTANT = 60
"""k in reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): a passage scores the sum of 1 / (k + rank)."""
FUSED_RANKS = 100
Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into vectors of length 1, (N, C)."""

    def __call__(self, texts: Sequence[str]) -> Vectors: ...

    def knows(self, text: str) -> bool:
        """Whether the vector of a text means something."""


@dataclass(frozen=True)
class Match:
    """A passage that was retrieved, and how relevant it is to the question, from 0 to 1."""

    passage: Passage
    relevance: float


class Index:
    """The passages of documents, searchable.

    Args:
        documents: at least one with text.
        encoder: makes vectors of passages and questions; None: only words are compared.

    Raises:
        UserError: bm25s is not installed, or the documents have no words.
    """

    def __init__(self, documents: Iterable[Document], encoder: Encoder | None = None) -> None:
        self.passages = [passage for document in documents for passage in cut_document(document)]
        self._encoder = encoder
        texts = [f"{passage.heading}\n{passage.text}" for passage in self.passages]
        passage_terms = [terms(text) for text in texts]
        self._term_sets = [frozenset(items) for items in passage_terms]
        if not any(passage_terms):
            raise UserError("the documents have no words to search for; add documents with text")
        bm25s = import_optional("bm25s", "retrieval", "retrieval")
        self._bm25: Any = bm25s.BM25()
        self._bm25.index(passage_terms, show_progress=False)
        self._vectors = None if encoder is None else _vectors(encoder, texts)

    @cached_property
    def _rarity(self) -> dict[str, float]:
        """The inverse document frequency of each term, as in BM25: log(1 + (N - n + 0.5) / (n + 0.5))."""
        counts: dict[str, int] = {}
        for items in self._term_sets:
            for term in items:
                counts[term] = counts.get(term, 0) + 1
        return {term: self._inverse_frequency(n) for term, n in counts.items()}

    def _inverse_frequency(self, n: int) -> float:
        return float(np.log1p((len(self.passages) - n + 0.5) / (n + 0.5)))

    def coverage(self, question_clues: Iterable[tuple[str, ...]], text_terms: frozenset[str]) -> float:
        """The share of a question's clues that a text has, weighted by how rare they are; a clue that no document has counts
        as the rarest."""
        weights = {clue: self._weight(clue) for clue in question_clues}
        total = sum(weights.values())
        return sum(weight for clue, weight in weights.items() if not text_terms.isdisjoint(clue)) / total if total else 0.0

    def _weight(self, clue: tuple[str, ...]) -> float:
        return max((self._rarity[term] for term in clue if term in self._rarity), default=self._inverse_frequency(0))

    def search(self, question: str, count: int = 3) -> list[Match]:
        """The best passages for a question, the best first."""
        rankings = [self._rank(self._bm25_scores(terms(question)))]
        similarities = None
        if self._vectors is not None and self._encoder is not None and self._encoder.knows(question):
            similarities = self._vectors @ self._encoder([question])[0]
            rankings.append(self._rank(similarities))
        fused: dict[int, float] = {}
        for ranking in rankings:
            for rank, n in enumerate(ranking, 1):
                fused[n] = fused.get(n, 0.0) + 1 / (RANK_CONSTANT + rank)
        question_clues = clues(question)
        best = sorted(fused, key=lambda n: (-fused[n], n))[:count]
        return [Match(self.passages[n], self._relevance(n, question_clues, similarities)) for n in best]

    def _bm25_scores(self, question_terms: Sequence[str]) -> Vectors:
        indexed_terms = [term for term in question_terms if term in self._rarity]
        scores: Vectors = self._bm25.get_scores(indexed_terms) if indexed_terms else np.zeros(len(self.passages), np.float32)
        return scores

    @staticmethod
    def _rank(scores: Vectors) -> list[int]:
        """The numbers of the passages with a score above 0, the best first."""
        best = np.argsort(-scores, kind="stable")[:FUSED_RANKS]
        return [int(n) for n in best if scores[n] > 0]

    def _relevance(self, n: int, question_clues: Sequence[tuple[str, ...]], similarities: Vectors | None) -> float:
        coverage = self.coverage(question_clues, self._term_sets[n])
        return coverage if similarities is None else (coverage + max(0.0, float(similarities[n]))) / 2


def _vectors(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """The vectors of the texts that the encoder knows; 0 for the others."""
    encodable = [n for n, text in enumerate(texts) if encoder.knows(text)]
    encoded = encoder([texts[n] for n in encodable])
    vectors = np.zeros((len(texts), encoded.shape[1]), np.float32)
    vectors[encodable] = encoded
    return vectors
