"""Passages and questions as vectors of an encoder that lmcraft opens, such as all-MiniLM-L6-v2."""

import threading
from collections.abc import Sequence

import numpy as np

from lmcraft.hub import fetch_model
from lmcraft.inference.engine import Engine
from lmcraft.inference.pooling import read_pooling
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.retrieval.index import Vectors

TEXTS_AT_ONCE = 64
MIN_NORM = 1e-12


class TextEncoder:
    """Turns texts into vectors of length 1; what is longer than the encoder's context is cut off.

    Args:
        address: the encoder's folder, or another address of a model.

    Raises:
        UserError: there is no such model.
    """

    def __init__(self, address: str) -> None:
        folder = fetch_model(address).path
        self._model = LanguageModel.load(folder)
        self._lock = threading.Lock()  # requests come from several threads
        self._engine = Engine(self._model.transformer)
        self._pooling = read_pooling(folder)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            return self._pool([self._encode(text) for text in texts])

    def _pool(self, rows: Sequence[tuple[int, ...]]) -> Vectors:
        order = sorted(range(len(rows)), key=lambda n: len(rows[n]))
        vectors = np.zeros((len(rows), self._model.transformer.config.hidden_size), np.float32)
        for start in range(0, len(order), TEXTS_AT_ONCE):
            numbers = order[start : start + TEXTS_AT_ONCE]
            requests = [Request(prompt_ids=rows[n], pooling=self._pooling, generates=False) for n in numbers]
            for n, sequence in zip(numbers, self._engine.run(requests), strict=True):
                assert sequence.pooled is not None
                vectors[n] = sequence.pooled.vector.numpy()
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), MIN_NORM)
        return vectors

    def _encode(self, text: str) -> tuple[int, ...]:
        tokenizer = self._model.tokenizer
        edges = len(tokenizer.begin_ids) + len(tokenizer.end_ids)
        room = self._model.transformer.config.max_position_embeddings - edges - 1
        return (*tokenizer.begin_ids, *tokenizer.encode(text)[:room], *tokenizer.end_ids)
