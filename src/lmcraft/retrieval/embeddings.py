"""Passages and questions as vectors of an encoder that lmcraft opens, such as all-MiniLM-L6-v2."""

import hashlib
import threading
from collections.abc import Sequence

import numpy as np

from lmcraft.folder.writing import atomic_write
from lmcraft.hub import fetch_model
from lmcraft.hub.download_cache import cache_folder
from lmcraft.inference.engine import Engine
from lmcraft.inference.pooling import read_pooling
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.retrieval.index import Vectors

TEXTS_AT_ONCE = 64
MAX_TOKENS = 128  # the length of most texts that sentence encoders were trained on; all-MiniLM-L6-v2's were no longer
CACHED_TEXTS = 256
"""The number of texts from which on their vectors are kept in the cache of downloads."""
MIN_NORM = 1e-12
MAX_UNKNOWN = 0.1
"""The share of unknown tokens up to which the vector of a text means something."""


class TextEncoder:
    """Turns texts into vectors of length 1; of longer ones, their first `MAX_TOKENS` tokens.

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
        self._unknown_id = self._model.tokenizer.special_tokens.get("[UNK]")
        self._weights = [
            (file.name, file.stat().st_size, file.stat().st_mtime) for file in sorted(folder.glob("*.safetensors"))
        ]

    def __call__(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            rows = [self._encode(text) for text in texts]
            return self._pool(rows) if len(texts) < CACHED_TEXTS else self._cached(rows)

    def knows(self, text: str) -> bool:
        """Whether the encoder has tokens for a text; one of English has none for most Chinese characters."""
        ids = self._encode(text)
        return sum(token_id == self._unknown_id for token_id in ids) <= MAX_UNKNOWN * len(ids)

    def _cached(self, rows: Sequence[tuple[int, ...]]) -> Vectors:
        """Vectors of many texts, which are computed once, and then kept in the cache of downloads."""
        key = hashlib.sha256(repr((self._weights, rows)).encode()).hexdigest()[:32]
        file = cache_folder() / "vectors" / f"{key}.npy"
        if file.is_file():
            kept: Vectors = np.load(file)
            return kept
        vectors = self._pool(rows)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary, temporary.open("wb") as out:
            np.save(out, vectors)
        return vectors

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
        room = min(MAX_TOKENS, self._model.transformer.config.max_position_embeddings - 1) - edges
        return (*tokenizer.begin_ids, *tokenizer.encode(text)[:room], *tokenizer.end_ids)
