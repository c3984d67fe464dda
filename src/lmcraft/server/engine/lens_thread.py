"""The thread that reads the layers of served models, one text at a time, and the Jacobian lenses of their folders."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.inference.kv_cache import KVCache
from lmcraft.interpretability.lenses.file import load_jacobian_lens
from lmcraft.interpretability.lenses.jacobian import JacobianLens
from lmcraft.model.transformer import Transformer
from lmcraft.server.engine.preparation import REST_RATIO, PreparationThreads
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.engine.token_lens import TOKENS_PER_CHUNK, TokenLens, last_residuals, read_layers
from lmcraft.server.limits import Limits

log = logging.getLogger("lmcraft.server")


class LensThread:
    """Reads texts beside the engines, which go on: the weights are the same, and hooks are arguments.

    Args:
        limits: `max_queue` bounds the texts that wait.
        serves_others: whether an engine works for other owners than this one; then the thread rests between two parts of a
            text three times as long as a part took.
    """

    def __init__(self, limits: Limits, serves_others: Callable[[str], bool]) -> None:
        self._serves_others = serves_others
        self._threads = PreparationThreads(limits, lambda _: False, num_threads=1)  # it rests within a text, not after it
        self._jacobians: dict[Path, tuple[float, JacobianLens | None]] = {}
        """The lens of each folder, and when its file was written."""
        self._last: _ReadText | None = None
        """The text that was read last: whoever clicks through the tokens of an answer sends the same prompt again."""

    async def read(
        self, owner: str, served: ServedModel, ids: Sequence[int], rests: "Rests", *, num_choices: int, target: int | None
    ) -> list[TokenLens]:
        """The lenses of the last token of a text, when it is the owner's turn; the work ends soon after the caller leaves.

        Args:
            owner: of the request.
            served: the model.
            ids: of the text.
            rests: of this text, from `rests`.
            num_choices: how many tokens each layer lists.
            target: a token whose rank each layer reports.

        Raises:
            ApiError: as in `PreparationThreads.run`; the engine is restarting.
            DamagedModelError: the model computes values that are not numbers.
        """
        model = served.engine.models[served.adapter]

        def read() -> list[TokenLens]:
            jacobian = self._jacobian(served)
            residuals_LC = self._residuals(owner, model, ids, rests)
            lenses = [None] if jacobian is None else [None, jacobian]
            return [read_layers(model, residuals_LC, lens, num_choices=num_choices, target=target) for lens in lenses]

        try:
            return await self._threads.run(owner, read)
        finally:
            rests.cancel()

    def _residuals(self, owner: str, model: Transformer, ids: Sequence[int], rests: "Rests") -> Tensor:
        """The residual streams at the last token, without computing again what the owner's last text begins with."""
        last, self._last = self._last, None
        cache = KVCache(model.config)
        if last is not None and last.owner == owner and last.model is model:
            cache = last.cache
            cache.truncate(_num_shared(last.ids, ids))
        residuals_LC = last_residuals(model, ids, cache, rests)
        self._last = _ReadText(owner, model, ids, cache)
        return residuals_LC

    def rests(self, owner: str) -> "Rests":
        """The rests of a text of this owner."""
        return Rests(lambda: self._serves_others(owner))

    def _jacobian(self, served: ServedModel) -> JacobianLens | None:
        """The Jacobian lens of a model's folder, read again when it was fitted again; None if it has none that fits.

        One that was fitted to a model is not one of its adapters'.
        """
        if served.path is None or served.adapter:
            return None
        try:
            written = ModelFolder(served.path).jacobian_lens.stat().st_mtime
        except OSError:
            return None
        if self._jacobians.get(served.path, (0.0, None))[0] != written:
            self._jacobians[served.path] = written, _load(served)
        return self._jacobians[served.path][1]


@dataclass(frozen=True)
class _ReadText:
    """A text that was read, with its keys and values."""

    owner: str
    model: Transformer
    ids: Sequence[int]
    cache: KVCache


def _num_shared(read: Sequence[int], ids: Sequence[int]) -> int:
    """How many tokens of a text need not be computed again after another: whole chunks, so that the numbers are the same."""
    pairs = zip(read, ids[:-1], strict=False)
    shared = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(read), len(ids) - 1))
    return shared // TOKENS_PER_CHUNK * TOKENS_PER_CHUNK


def _load(served: ServedModel) -> JacobianLens | None:
    """The Jacobian lens of a folder that has one; None, and a line in the log, if it cannot be used."""
    assert served.path is not None
    try:
        lens = load_jacobian_lens(served.path)
        if lens is not None:
            lens.check(served.language_model.transformer)
        return lens
    except (UserError, OSError) as error:
        log.warning("'%s' has no Jacobian lens: %s", served.name, error)
        return None


class Rests:
    """Rests in a long computation while other owners are served, as the preparation of their requests does after one.

    Args:
        serves_others: whether an engine works for others than the owner of this computation.
    """

    def __init__(self, serves_others: Callable[[], bool]) -> None:
        self._serves_others = serves_others
        self._end = threading.Event()
        self._start: float | None = None

    def __call__(self) -> None:
        """Rest after a part of the computation; the first call begins it.

        Raises:
            CancelledError: nobody waits for the result.
        """
        if self._start is not None and self._serves_others():
            self._end.wait(REST_RATIO * (time.perf_counter() - self._start))
        if self._end.is_set():
            raise CancelledError
        self._start = time.perf_counter()

    @property
    def has_begun(self) -> bool:
        """Whether the computation has begun."""
        return self._start is not None

    def cancel(self) -> None:
        """End the computation after its current part."""
        self._end.set()
