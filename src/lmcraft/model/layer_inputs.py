"""What the blocks need besides the residual stream: rotary rows, masks, and where documents begin.

Layers of the same type get the same inputs.

Shapes: B batch, T new tokens, S tokens attended to, R rotated dimensions of a head.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lmcraft.model.attention import AttentionFunction, AttentionKind, use_matmul
from lmcraft.model.config import TransformerConfig
from lmcraft.model.parts import ATTENTION_LAYERS, LayerType
from lmcraft.model.rotary import RotaryTables, query_scales
from lmcraft.model.token_tree import TokenTree


class LayerInputs(NamedTuple):
    """What a block needs besides the residual stream."""

    rotary: tuple[Tensor, ...] | None
    """Cosines and sines, (B or 1, T, 1, R) each, or those of queries and those of keys where they differ; None in layers
    without rotary positions."""
    mask: Tensor | None
    """Attention mask, (B or 1, T, S), or (B or 1, H, T, S) with ALiBi; None means causal."""
    begins: Tensor | None = None
    """Whether a document begins at a token, (B, T): recurrent mixers start anew; None: nowhere but at the first token."""
    embedding: Tensor | None = None
    """The layer's own embedding of the tokens, (B, T, P), in models that have some (`lmcraft.model.per_layer_embedding`)."""


class _Kind(NamedTuple):
    """What layers must have in common to get the same inputs."""

    type: LayerType
    rotary: bool


class LayerInputsBuilder:
    """Builds the inputs of all blocks of a model."""

    def __init__(self, config: TransformerConfig) -> None:
        self.attention_kind: AttentionKind | AttentionFunction = "auto"
        self._config = config
        self._changes_scores = bool(config.attention_sinks or config.attn_logit_softcapping or config.position == "alibi")
        self._rotary = RotaryTables(config)
        self._kinds = [_Kind(config.layer_type(n), config.has_rotary(n)) for n in range(config.num_hidden_layers)]
        self._distinct = tuple(dict.fromkeys(self._kinds))

    def build(
        self, T: int, past: int, document_ids: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> list[LayerInputs]:
        """Per block, the inputs for T tokens after `past` earlier ones."""
        begins = None if document_ids is None or not self._config.is_recurrent else document_begins(document_ids)

        def inputs_of(kind: _Kind) -> LayerInputs:
            if kind.type not in ATTENTION_LAYERS:
                return LayerInputs(None, None, begins)
            rotary: tuple[Tensor, ...] | None = self._rotary_rows(past, past + T, kind, device, dtype)
            if rotary is not None and document_ids is not None and self._config.depends_on_positions:
                positions = token_positions(T, past, document_ids, device) - past
                rotary = tuple(row[0, positions] for row in rotary)
            if self._scales_queries(kind):
                rotary = self._scaled(rotary, token_positions(T, past, document_ids, device), dtype)
            return LayerInputs(rotary, self._mask(T, past, document_ids, kind, device, dtype), begins)

        inputs = {kind: inputs_of(kind) for kind in self._distinct}
        return [inputs[kind] for kind in self._kinds]

    def of_tree(self, tree: TokenTree, dtype: torch.dtype) -> list[LayerInputs]:
        """Per block, the inputs for the tokens of a tree, each at its position and with its ancestors."""
        positions = tree.positions
        length, device = int(positions.max()) + 1, positions.device
        inputs = {}
        for kind in self._distinct:
            rotary = self._rotary_rows(0, length, kind, device, dtype)
            rows = None if rotary is None else (rotary[0][:, positions], rotary[1][:, positions])
            allowed = tree.mask(self._window(kind))
            if kind.type == "chunked_attention":
                chunks = positions // self._config.attention_chunk_size
                allowed = allowed & (chunks[:, None] == chunks)
            mask = self._biased(additive_mask(allowed[None], dtype), positions, positions)
            inputs[kind] = LayerInputs(self._scaled(rows, positions, dtype) if self._scales_queries(kind) else rows, mask)
        return [inputs[kind] for kind in self._kinds]

    def of_last_tokens(self, positions: Sequence[int], device: torch.device, dtype: torch.dtype) -> list[LayerInputs]:
        """Per block, the inputs for one token of each of several texts, whose attention function needs no mask."""
        inputs, no_mask = {}, torch.empty(0, device=device, dtype=dtype)
        for kind in self._distinct:
            rows = [self._rotary_rows(position, position + 1, kind, device, dtype) for position in positions]
            cos, sin = zip(*[row for row in rows if row is not None], strict=True) if rows[0] is not None else ((), ())
            rotary: tuple[Tensor, ...] | None = (torch.cat(cos), torch.cat(sin)) if cos else None
            if self._scales_queries(kind):
                rotary = self._scaled(rotary, torch.tensor(positions, device=device)[:, None], dtype)
            inputs[kind] = LayerInputs(rotary, no_mask)
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
        """The attention mask, (B or 1, T, S) or with ALiBi (B or 1, H, T, S): 0, or ALiBi's bias, where a query may attend,
        else -inf; None for plain causal attention."""
        config, S, window = self._config, past + T, self._window(kind)
        slides, chunk = 0 < window < S, config.attention_chunk_size if kind.type == "chunked_attention" else 0
        chunked = 0 < chunk < S
        needs_mask = callable(self.attention_kind) or use_matmul(device, S, self.attention_kind) or self._changes_scores
        if document_ids is None and past == 0 and not slides and not chunked and not needs_mask and not config.bidirectional:
            return None
        allowed = torch.ones(T, S, dtype=torch.bool, device=device)[None]
        # An encoder's window is as wide after a token as before it.
        allowed = allowed.tril(past) if not config.bidirectional else allowed.tril(window - 1) if slides else allowed
        if slides:
            allowed = allowed.triu(past - window + 1)
        if chunked:
            chunks = token_positions(S, 0, document_ids, device) // chunk
            allowed = allowed & (chunks[..., past:, None] == chunks[..., None, :])
        if document_ids is not None:
            allowed = allowed & (document_ids[:, :, None] == document_ids[:, None, :])
        mask = additive_mask(allowed, dtype)
        if config.position != "alibi":
            return mask
        keys = torch.arange(S, device=device)
        return self._biased(mask, keys[past:], keys)

    def _biased(self, mask: Tensor, queries_T: Tensor, keys_S: Tensor) -> Tensor:
        """The mask with ALiBi's bias of each head, slope times distance, if there is one (arXiv 2108.12409, section 3)."""
        config = self._config
        if config.position != "alibi":
            return mask
        slopes_H = mask.new_tensor(alibi_slopes(config.num_attention_heads))
        return mask[:, None] + slopes_H[:, None, None] * (keys_S - queries_T[:, None]).to(mask.dtype)

    def _rotary_rows(
        self, start: int, stop: int, kind: _Kind, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor] | None:
        if not kind.rotary:
            return None
        return self._rotary.rows(start, stop, sliding=kind.type == "sliding_attention", device=device, dtype=dtype)

    def _scales_queries(self, kind: _Kind) -> bool:
        return bool(self._config.query_scaling.beta) and not (kind.rotary and self._config.no_rope_layers)

    def _scaled(self, rotary: tuple[Tensor, ...] | None, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The rows of queries, which also grow with their positions, before those of keys."""
        scales = query_scales(positions, self._config.query_scaling).to(dtype)[..., None, None]
        scales = scales if scales.ndim == 4 else scales[None]
        if rotary is not None and self._config.latent_attention.kv_lora_rank:
            return (*rotary, scales)
        if rotary is not None:
            return (rotary[0] * scales, rotary[1] * scales, *rotary)
        cos = scales.expand(*scales.shape[:-1], self._config.head_dim)
        one = torch.ones_like(cos)
        return cos, torch.zeros_like(cos), one, torch.zeros_like(one)


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `allowed` is true, else -inf."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)


def document_begins(document_ids: Tensor) -> Tensor:
    """Whether a document begins at a token, (B, T)."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return begins


def token_positions(T: int, past: int, document_ids: Tensor | None, device: torch.device) -> Tensor:
    """The position of each of T tokens after `past` earlier ones, (T,), or of each in its document, (B, T)."""
    positions = torch.arange(past, past + T, device=device)
    if document_ids is None:
        return positions
    return positions - torch.where(document_begins(document_ids), positions, 0).cummax(dim=1).values


@cache
def alibi_slopes(heads: int) -> tuple[float, ...]:
    """ALiBi's slopes: 2 to the minus 8 i / n for i from 1 to n; where n, a power of two, is above the number of
    heads, first those of even i (arXiv 2108.12409, section 3, and its reference code)."""
    count = 1 << (heads - 1).bit_length()
    slopes = tuple(2.0 ** (-8 * i / count) for i in range(1, count + 1))
    return slopes if count == heads else (slopes[1::2] + slopes[::2])[:heads]
