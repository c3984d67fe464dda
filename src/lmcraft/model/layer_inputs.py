"""What the blocks need besides the residual stream: rotary rows, masks, and where documents begin.

Layers of the same type get the same inputs.

Shapes: B batch, T new tokens, S tokens attended to, R rotated dimensions of a head.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lmcraft.model.attention import AttentionFunction, AttentionKind, use_matmul
from lmcraft.model.config import ATTENTION_LAYERS, LayerType, TransformerConfig
from lmcraft.model.rotary import RotaryTables
from lmcraft.model.token_tree import TokenTree


class LayerInputs(NamedTuple):
    """What a block needs besides the residual stream."""

    rotary: tuple[Tensor, Tensor] | None
    """Cosines and sines, (1, T, 1, R) each; None in layers without rotary positions."""
    mask: Tensor | None
    """Attention mask, (B or 1, T, S); None means causal."""
    begins: Tensor | None = None
    """Whether a document begins at a token, (B, T): recurrent mixers start anew; None: nowhere but at the first token."""


class _Kind(NamedTuple):
    """What layers must have in common to get the same inputs."""

    type: LayerType
    rotary: bool


class LayerInputsBuilder:
    """Builds the inputs of all blocks of a model."""

    def __init__(self, config: TransformerConfig) -> None:
        self.attention_kind: AttentionKind | AttentionFunction = "auto"
        self._config = config
        self._rotary = RotaryTables(config)
        self._kinds = [_Kind(config.layer_type(n), config.has_rotary(n)) for n in range(config.num_hidden_layers)]

    def build(
        self, T: int, past: int, document_ids: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> list[LayerInputs]:
        """Per block, the inputs for T tokens after `past` earlier ones."""
        begins = None if document_ids is None or not self._config.is_recurrent else document_begins(document_ids)

        def inputs_of(kind: _Kind) -> LayerInputs:
            if kind.type not in ATTENTION_LAYERS:
                return LayerInputs(None, None, begins)
            rotary = self._rotary_rows(past, past + T, kind, device, dtype)
            return LayerInputs(rotary, self._mask(T, past, document_ids, kind, device, dtype), begins)

        inputs = {kind: inputs_of(kind) for kind in set(self._kinds)}
        return [inputs[kind] for kind in self._kinds]

    def of_tree(self, tree: TokenTree, dtype: torch.dtype) -> list[LayerInputs]:
        """Per block, the inputs for the tokens of a tree, each at its position and with its ancestors."""
        positions = tree.positions
        length, device = int(positions.max()) + 1, positions.device
        inputs = {}
        for kind in set(self._kinds):
            rotary = self._rotary_rows(0, length, kind, device, dtype)
            rows = None if rotary is None else (rotary[0][:, positions], rotary[1][:, positions])
            inputs[kind] = LayerInputs(rows, additive_mask(tree.mask(self._window(kind))[None], dtype))
        return [inputs[kind] for kind in self._kinds]

    def of_last_tokens(self, positions: Sequence[int], device: torch.device, dtype: torch.dtype) -> list[LayerInputs]:
        """Per block, the inputs for one token of each of several texts, whose attention function needs no mask."""
        inputs, no_mask = {}, torch.empty(0, device=device, dtype=dtype)
        for kind in set(self._kinds):
            rows = [self._rotary_rows(position, position + 1, kind, device, dtype) for position in positions]
            cos, sin = zip(*[row for row in rows if row is not None], strict=True) if rows[0] is not None else ((), ())
            inputs[kind] = LayerInputs((torch.cat(cos), torch.cat(sin)) if cos else None, no_mask)
        return [inputs[kind] for kind in self._kinds]

    def _window(self, kind: _Kind) -> int:
        return self._config.sliding_window if kind.type == "sliding_attention" else 0

    def _mask(
        self,
        T: int,
        past: int,
        document_ids: Tensor | None,
        kind: _Kind,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Tensor | None:
        """The attention mask, (B or 1, T, S): 0 where a query may attend, else -inf; None for plain causal attention."""
        S, window = past + T, self._window(kind)
        slides = 0 < window < S
        needs_mask = callable(self.attention_kind) or use_matmul(device, S, self.attention_kind)
        if document_ids is None and past == 0 and not slides and not needs_mask:
            return None
        allowed = torch.ones(T, S, dtype=torch.bool, device=device).tril(past)[None]
        if slides:
            allowed = allowed.triu(past - window + 1)
        if document_ids is not None:
            allowed = allowed & (document_ids[:, :, None] == document_ids[:, None, :])
        return additive_mask(allowed, dtype)

    def _rotary_rows(
        self, start: int, stop: int, kind: _Kind, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor] | None:
        if not kind.rotary:
            return None
        return self._rotary.rows(start, stop, sliding=kind.type == "sliding_attention", device=device, dtype=dtype)


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `allowed` is true, else -inf."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)


def document_begins(document_ids: Tensor) -> Tensor:
    """Whether a document begins at a token, (B, T)."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return begins
