"""Reads the residual stream of a text through a lens.

Shapes: L layers that are read, P positions, T tokens, C width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.prompt import check_token_ids
from lmcraft.interpretability.choices import most_likely, rows_together
from lmcraft.interpretability.explanation import Check, Choice, Lens
from lmcraft.interpretability.lenses.estimator import output_points
from lmcraft.interpretability.lenses.jacobian import JacobianLens
from lmcraft.language_model import LanguageModel
from lmcraft.model.hooks import HookPoint, Hooks
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.token_ids import list_token_ids


def read_lens(
    model: LanguageModel,
    ids: Sequence[int],
    jacobian: JacobianLens | None = None,
    *,
    choices: int = 5,
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    transformer: Transformer | None = None,
    on_layer: Callable[[], object] = lambda: None,
    checks: Sequence[Check] = (),
) -> Lens:
    """What a lens reads after each block and token.

    Args:
        model: the model.
        ids: of the text's tokens, (T,).
        jacobian: the model's Jacobian lens; None: the logit lens.
        choices: how many tokens are listed.
        layers: the blocks after which it reads; None: all.
        positions: the tokens after which it reads, negative ones from the end; None: all. The lens has these, in this order.
        transformer: the network, if not the model's own: one with an adapter.
        on_layer: called after each block of the forward pass and of the reading; what it raises ends the call.
        checks: the lens's, as `check_swap` makes them.

    Raises:
        UserError: there are no tokens, too many, or some outside the vocabulary; a layer or position does not exist; the
            lens does not fit the model.
        RunError: the model's outputs are not numbers.
    """
    network = model.transformer if transformer is None else transformer
    ids = list_token_ids(ids)
    check_token_ids(ids, network.config.vocab_size)
    layers = _numbers("layers", layers, network.config.num_hidden_layers)
    positions = _numbers("positions", positions, len(ids))
    if jacobian is not None:
        jacobian.check(network)
    with torch.inference_mode():
        streams, next_id = _run(network, ids, layers, positions, on_layer)
        following = [*ids[1:], next_id]
        targets = torch.tensor([following[position] for position in positions], device=network.device)
        rows = []
        for layer in layers:
            rows.append(_read(model, network, jacobian, layer, streams[layer], targets, choices))
            on_layer()
    kind: Literal["logit", "jacobian"] = "logit" if jacobian is None else "jacobian"
    return Lens(kind, layers, [row[0] for row in rows], [row[1] for row in rows], checks)


def lens_logits(transformer: Transformer, jacobian: JacobianLens | None, layer: int, hidden: Tensor) -> Tensor:
    """The logits that a lens reads from the residual stream after a block, (..., V) from (..., C), in float32."""
    if jacobian is not None and layer < len(jacobian.matrices):
        hidden = jacobian.transport(layer, hidden)
    return transformer.logits(transformer.norm(hidden.to(transformer.compute_dtype))).float()


def _run(
    network: Transformer,
    ids: Sequence[int],
    layers: Sequence[int],
    positions: Sequence[int],
    on_layer: Callable[[], object],
) -> tuple[dict[int, Tensor], int]:
    """The residual streams after blocks, (P, C), and the token that the model would write after the text."""
    streams: dict[int, Tensor] = {}

    def keep(activation: Tensor, point: HookPoint) -> None:
        if (layer := point.layer()) in layers:
            streams[layer] = activation[0, positions]
        on_layer()

    hooks = Hooks(network.config, [(output_points(network), keep)])
    hidden = network.hidden_states(torch.tensor([ids], device=network.device), hooks=hooks)
    logits = network.logits(hidden[0, -1])
    if not bool(logits.float().logsumexp(0).isfinite()):
        raise damaged_model_error(network)
    return streams, int(logits.argmax())


def _read(
    model: LanguageModel,
    network: Transformer,
    jacobian: JacobianLens | None,
    layer: int,
    stream_PC: Tensor,
    targets_P: Tensor,
    count: int,
) -> tuple[list[list[Choice]], list[int | None]]:
    """The likely tokens and the targets' ranks after one block."""
    read: list[list[Choice]] = []
    ranks: list[int | None] = []
    for start in range(0, len(stream_PC), size := rows_together(network.config.vocab_size)):
        logits = lens_logits(network, jacobian, layer, stream_PC[start : start + size])
        targets = targets_P[start : start + size]
        read += [most_likely(row, model.tokenizer, count) for row in logits]
        ranks += (1 + (logits > logits.gather(1, targets[:, None])).sum(1)).tolist()
    return read, ranks


def _numbers(name: str, chosen: Sequence[int] | None, count: int) -> list[int]:
    """Numbers of layers or positions, from 0."""
    numbers = list(range(count)) if chosen is None else [number + count if number < 0 else number for number in chosen]
    for number in numbers:
        if not 0 <= number < count:
            raise UserError(f"{name} has {number}, which does not exist: use 0 to {count - 1}")
    return numbers
