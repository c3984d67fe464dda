"""What each layer of a model says about the token that follows a text: its residual stream, read as if it were the last.

Shapes: T tokens, L layers, C width, V vocabulary, K choices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.kv_cache import KVCache
from lmcraft.interpretability.lenses.jacobian import JacobianLens
from lmcraft.interpretability.lenses.readout import lens_logits
from lmcraft.model.hooks import Hooks
from lmcraft.model.transformer import Transformer

TOKENS_PER_CHUNK = 256  # of a text; between two chunks the thread rests, and a request whose client left ends
MAX_CACHE_BYTES = 2**30  # of the keys and values of a text
RESIDUAL_POINT = "hook_resid_post"
Kind = Literal["logit", "jacobian"]


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


def max_tokens(model: Transformer) -> int:
    """How long a text may be."""
    c = model.config
    bytes_per_token = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * model.compute_dtype.itemsize
    return MAX_CACHE_BYTES // bytes_per_token


@torch.inference_mode()
def last_residuals(model: Transformer, ids: Sequence[int], cache: KVCache, rest: Callable[[], None]) -> Tensor:
    """The residual stream after each block at the last token of a text, (L, C).

    The text is read in chunks, so that its length bounds neither the memory nor the time until `rest` is called.

    Args:
        model: in `eval` mode; other threads may use it at the same time.
        ids: T of them, at least one.
        cache: keys and values of the first tokens, fewer than T; gets those of the others.
        rest: called before the first chunk, and after each; what it raises ends the computation.
    """
    residuals: dict[str, Tensor] = {}

    def keep(activation: Tensor, name: str) -> None:
        residuals[name] = activation[0, -1].clone()

    hooks = Hooks(
        model.config,
        [(lambda name: name.endswith(RESIDUAL_POINT), lambda activation, point: keep(activation, point.name))],
    )
    rest()
    for start in range(cache.length, len(ids), TOKENS_PER_CHUNK):
        stop = start + TOKENS_PER_CHUNK
        chunk = torch.tensor([ids[start:stop]], device=model.device)
        model.hidden_states(chunk, cache=cache, hooks=hooks if stop >= len(ids) else None)
        rest()
    return torch.stack([residuals[f"blocks.{layer}.{RESIDUAL_POINT}"] for layer in range(len(model.layers))])


@torch.inference_mode()
def read_layers(
    model: Transformer,
    residuals_LC: Tensor,
    jacobian: JacobianLens | None,
    *,
    num_choices: int,
    target: int | None = None,
) -> TokenLens:
    """What the layers say by a lens.

    Args:
        model: whose residual streams they are.
        residuals_LC: of `last_residuals`.
        jacobian: the Jacobian lens; None: the logit lens.
        num_choices: K.
        target: a token whose rank and log-probability each layer reports.

    Raises:
        DamagedModelError: the logits are not numbers.
    """
    if jacobian is not None:
        residuals_LC = torch.stack([jacobian.transport(layer, residual_C) for layer, residual_C in enumerate(residuals_LC)])
    scores_LV = lens_logits(model, None, 0, residuals_LC).log_softmax(
        -1
    )  # all layers read the matrix of the tokens together
    if scores_LV.isnan().any():
        raise damaged_model_error(model)
    readings = []
    for layer, scores_V in enumerate(scores_LV):
        values, tokens = scores_V.topk(min(num_choices, len(scores_V)))
        choices = list(zip(tokens.tolist(), values.tolist(), strict=True))
        rank, logprob = None, None
        if target is not None:
            logprob = scores_V[target].item()
            rank = 1 + int((scores_V > logprob).sum())
        readings.append(LayerReading(layer, choices, rank, logprob))
    return TokenLens("logit" if jacobian is None else "jacobian", readings)
