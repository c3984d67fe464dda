"""What each layer of a model says about the token that follows a text: its residual stream, read as if it were the last.

Shapes: T tokens, L layers, C width, V vocabulary, K choices.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.kv_cache import KVCache
from lmcraft.model.hooks import Hooks
from lmcraft.model.transformer import Transformer
from lmcraft.server.engine.preparation import REST_RATIO

TOKENS_PER_CHUNK = 256  # of a prompt; between two chunks the thread rests, and a request whose client left ends
RESIDUAL_POINT = "hook_resid_post"
Kind = Literal["logit", "jacobian"]
Transport = Callable[[int, Tensor], Tensor]
"""Maps the residual stream after a block, (C,), to what is read as if it were the last."""


@dataclass(frozen=True)
class LayerReading:
    """What one layer says about the next token."""

    layer: int
    """The number of the block, from 0."""
    choices: Sequence[tuple[int, float]]
    """The most likely tokens, best first, each with its log-probability."""
    target_rank: int | None = None
    """Of the token that was asked for; 1 is the first."""
    target_logprob: float | None = None


@dataclass(frozen=True)
class TokenLens:
    """The readings of all layers by one kind of lens."""

    kind: Kind
    layers: Sequence[LayerReading]


@torch.inference_mode()
def last_residuals(model: Transformer, ids: Sequence[int], rest: Callable[[], None]) -> Tensor:
    """The residual stream after each block at the last token of a text, (L, C).

    The text is read in chunks, so that its length bounds neither the memory nor the time until `rest` is called.

    Args:
        model: in `eval` mode; other threads may use it at the same time.
        ids: T of them, at least one.
        rest: called after each chunk; what it raises ends the computation.
    """
    residuals: dict[str, Tensor] = {}

    def keep(activation: Tensor, name: str) -> None:
        residuals[name] = activation[0, -1].clone()

    hooks = Hooks(
        model.config,
        [(lambda name: name.endswith(RESIDUAL_POINT), lambda activation, point: keep(activation, point.name))],
    )
    cache = KVCache(model.config)
    for start in range(0, len(ids), TOKENS_PER_CHUNK):
        stop = start + TOKENS_PER_CHUNK
        chunk = torch.tensor([ids[start:stop]], device=model.device)
        model.hidden_states(chunk, cache=cache, hooks=hooks if stop >= len(ids) else None)
        rest()
    return torch.stack([residuals[f"blocks.{layer}.{RESIDUAL_POINT}"] for layer in range(len(model.layers))])


@torch.inference_mode()
def read_layers(
    model: Transformer,
    residuals_LC: Tensor,
    kind: Kind,
    transport: Transport | None,
    *,
    num_choices: int,
    target: int | None = None,
) -> TokenLens:
    """What the layers say: unembed(norm(h)) by the logit lens, unembed(norm(J h)) by the Jacobian lens.

    Args:
        model: whose residual streams they are.
        residuals_LC: of `last_residuals`.
        kind: of the lens.
        transport: its map of the streams; None: none, as in the logit lens.
        num_choices: K.
        target: a token whose rank and log-probability each layer reports.

    Raises:
        DamagedModelError: the logits are not numbers.
    """
    readings = []
    for layer, residual_C in enumerate(residuals_LC):
        moved_C = residual_C if transport is None else transport(layer, residual_C)
        scores_V = model.logits(model.norm(moved_C[None, None]))[0, 0].float().log_softmax(-1)
        if not scores_V.isfinite().any() or scores_V.isnan().any():
            raise damaged_model_error(model)
        values, tokens = scores_V.topk(min(num_choices, len(scores_V)))
        choices = list(zip(tokens.tolist(), values.tolist(), strict=True))
        rank, logprob = None, None
        if target is not None:
            logprob = scores_V[target].item()
            rank = 1 + int((scores_V > logprob).sum())
        readings.append(LayerReading(layer, choices, rank, logprob))
    return TokenLens(kind, readings)


class Rests:
    """Rests in a long computation while other owners are served, as the preparation of their requests does after one.

    Args:
        serves_others: whether an engine works for others than the owner of this computation.
    """

    def __init__(self, serves_others: Callable[[], bool]) -> None:
        self._serves_others = serves_others
        self._end = threading.Event()
        self._start = time.perf_counter()

    def __call__(self) -> None:
        """Rest after a part of the computation.

        Raises:
            CancelledError: nobody waits for the result.
        """
        seconds = REST_RATIO * (time.perf_counter() - self._start)
        if self._serves_others():
            self._end.wait(seconds)
        if self._end.is_set():
            raise CancelledError
        self._start = time.perf_counter()

    def cancel(self) -> None:
        """End the computation after its current part."""
        self._end.set()
