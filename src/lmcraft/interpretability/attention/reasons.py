"""Why a head attends: its score for a query and a key as a sum over pairs of components of the two residual streams.

With the scales of the norms frozen, queries and keys are linear in the residual stream, rotary positions included, so the
score is a sum over all pairs of a component of the query and one of the key. The softmax ignores what a query gives to all
keys alike, so each pair counts by how much more it gives to this key than to the average one.

Shapes: P positions, N components, H query heads, K key-value heads, D head width, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.interpretability.attention.patterns import score_rule
from lmcraft.interpretability.explanation import AttentionReason
from lmcraft.interpretability.interventions import Head
from lmcraft.interpretability.residual_stream import ResidualStream, freeze_norm
from lmcraft.model.attention import Attention
from lmcraft.model.block import Block
from lmcraft.model.linear import Linear
from lmcraft.model.rotary import rotate

MAX_PAIRS, MAX_COMPONENTS = 10, 6  # that are named
MAX_AVERAGED_KEYS = 128
POSITIONS_PER_CHUNK = 64
OTHERS, AVERAGE_KEY = "all other pairs", "the average key"


@dataclass(frozen=True)
class ScoreParts:
    """The score of one query and one key, by pairs of components."""

    names: Sequence[str]
    """(N,) the components."""
    pairs: Tensor
    """(N, N) by component of the query, then of the key: what it gives to this key more than to the average one."""
    average: float
    """The score of the average key."""

    @property
    def score(self) -> float:
        """The sum."""
        return float(self.pairs.sum()) + self.average

    def of_query(self, count: int = MAX_COMPONENTS) -> list[tuple[str, float]]:
        """The components of the query with the largest sums over those of the key."""
        return self._rank(self.pairs.sum(1), count)

    def of_key(self, count: int = MAX_COMPONENTS) -> list[tuple[str, float]]:
        """The components of the key with the largest sums over those of the query."""
        return self._rank(self.pairs.sum(0), count)

    def _rank(self, sums_N: Tensor, count: int) -> list[tuple[str, float]]:
        order = sums_N.abs().argsort(descending=True)[:count].tolist()
        return [(self.names[index], float(sums_N[index])) for index in order]

    def largest(self, count: int = MAX_PAIRS) -> list[tuple[str, str, float]]:
        """The largest pairs of either sign, then the sum of all others, and the average key: they add up to the score."""
        flat = self.pairs.flatten()
        top = flat.abs().topk(min(count, len(flat))).indices
        named = [(self.names[i // len(self.names)], self.names[i % len(self.names)], float(flat[i])) for i in top.tolist()]
        remainder = float(flat.double().sum()) - sum(part for *_, part in named)
        return [*named, (OTHERS, OTHERS, remainder), ("", AVERAGE_KEY, self.average)]


class ScoreReader:
    """The scores of the heads of one layer on a text, by component.

    Args:
        stream: of the text.
        layer: of the heads.

    Raises:
        UserError: scores are more than products of queries and keys.
    """

    def __init__(self, stream: ResidualStream, layer: int) -> None:
        self._stream, self.layer = stream, layer
        self._config = stream.transformer.config
        self._block: Block = stream.transformer.layers[layer]  # type: ignore[assignment]
        if rule := score_rule(self._config):
            raise UserError(f"{rule}: leave out the reasons of attention")
        assert isinstance(self._block.attention, Attention)
        self._attention = self._block.attention
        self._rotary = stream.transformer.layer_inputs(stream.length)[layer][0]

    @cached_property
    def names(self) -> list[str]:
        """The components."""
        return self._stream.names(self.layer)

    def allowed_keys(self, query: int) -> range:
        """The keys to which a query may attend."""
        window = self._config.sliding_window if self._config.is_sliding(self.layer) else 0
        return range(max(0, query - window + 1) if window else 0, query + 1)

    @torch.no_grad()
    def decompose(self, head: int, query: int, key: int) -> ScoreParts:
        """The score of a head for a query and a key, by pairs of components."""
        q_ND = self._queries([query])[:, 0, head]
        allowed = self.allowed_keys(query)
        averaged = list(allowed[:: -(-len(allowed) // MAX_AVERAGED_KEYS)])
        k_NPD = self._keys([key, *averaged])[:, :, self._kv_head(head)]
        average_ND = k_NPD[:, 1:].mean(1)
        scale = self._attention.scale
        pairs_NN = q_ND @ (k_NPD[:, 0] - average_ND).T * scale
        average = float(q_ND.sum(0) @ average_ND.sum(0)) * scale
        return ScoreParts(self.names, pairs_NN, average)

    @torch.no_grad()
    def weights_without(self, head: int, query: int, components: Sequence[str]) -> Tensor:
        """The weights of a query, (..., keys that it may attend to), if the keys lacked each of some components in turn; ""
        for none."""
        q_D = self._queries([query]).sum(0)[0, head]
        allowed = self.allowed_keys(query)
        scores = []
        for start in range(allowed.start, allowed.stop, POSITIONS_PER_CHUNK):
            positions = range(start, min(start + POSITIONS_PER_CHUNK, allowed.stop))
            parts_NPC = self._stream.parts(self.layer, positions)
            x_PC = parts_NPC.sum(0)
            lacking = [x_PC - parts_NPC[self.names.index(name)] if name else x_PC for name in components]
            keys = [self._project(x[None], x, self._attention.k_proj, self._attention.k_norm, positions) for x in lacking]
            scores.append(torch.cat(keys)[:, :, self._kv_head(head)] @ q_D)
        whole = torch.cat(scores, 1) * float(self._attention.scale)
        return whole.softmax(-1)

    def _kv_head(self, head: int) -> int:
        return head // (self._attention.num_heads // self._attention.num_kv_heads)

    def _queries(self, positions: Sequence[int]) -> Tensor:
        parts = self._stream.parts(self.layer, positions)
        return self._project(parts, parts.sum(0), self._attention.q_proj, self._attention.q_norm, positions)

    def _keys(self, positions: Sequence[int]) -> Tensor:
        projected = []
        for start in range(0, len(positions), POSITIONS_PER_CHUNK):
            chunk = positions[start : start + POSITIONS_PER_CHUNK]
            parts = self._stream.parts(self.layer, chunk)
            projected.append(self._project(parts, parts.sum(0), self._attention.k_proj, self._attention.k_norm, chunk))
        return torch.cat(projected, 1)

    def _project(
        self, parts_NPC: Tensor, x_PC: Tensor, projection: Linear, norm: nn.Module | None, positions: Sequence[int]
    ) -> Tensor:
        """What each part gives to the queries or keys, (N, P, heads, D); biases belong to the last part."""
        frozen = freeze_norm(self._block.attention_norm, x_PC)
        normed_NPC = frozen.apply(parts_NPC)
        if frozen.bias is not None:
            normed_NPC[-1] += frozen.bias
        y_NPE: Tensor = projection(normed_NPC)
        if projection.bias is not None:
            y_NPE[:-1] -= projection.bias.float()
        N, P, E = y_NPE.shape
        y_NPHD = y_NPE.view(N, P, E // self._attention.head_dim, self._attention.head_dim)
        if norm is not None:
            spans = -2 if self._attention.norm_over_projection else -1
            flat = y_NPHD.flatten(spans)
            y_NPHD = freeze_norm(norm, flat.sum(0)).apply(flat).view(y_NPHD.shape)
        if self._rotary is None:
            return y_NPHD
        cos, sin = (table[:, list(positions)].float() for table in self._rotary)
        return rotate(y_NPHD, cos, sin)


def explain_score(stream: ResidualStream, head: Head, query: int, key: int) -> AttentionReason:
    """Why a head attends from one token of a text to another.

    Args:
        stream: of the text.
        head: its layer and number.
        query: the position that attends.
        key: the position that it attends to.

    Raises:
        UserError: the head may not attend to the key.
    """
    reader = ScoreReader(stream, head[0])
    allowed = reader.allowed_keys(query)
    if key not in allowed:
        raise UserError(f"key={key} is out of reach of query={query}: choose one from {allowed.start} to {query}")
    parts = reader.decompose(head[1], query, key)
    weight = float(reader.weights_without(head[1], query, [""])[0, key - allowed.start])
    return AttentionReason(*head, query, key, weight, parts.score, parts.largest(), parts.of_query(), parts.of_key())
