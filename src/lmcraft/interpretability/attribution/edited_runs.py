"""Many runs of one text, each with some activations replaced, at a fraction of their cost.

The runs are computed in batches. Each begins at the first block and the first token that an edit changes: what comes before
is the same in all of them.

Shapes: B runs, T tokens, N tokens from the first edited one on, K key-value heads, S tokens before, D head width, C width,
V vocabulary.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.hooks import HookPoint, Hooks
from lmcraft.model.transformer import Transformer, copy_sharing_weights

MAX_BATCH_TOKENS = 4096  # of the runs that are computed together
RECURRENT = "activations can be replaced in models with attention only, and this one has recurrent layers"


@dataclass(frozen=True)
class Edit:
    """A replaced activation of a block: all heads or features of some tokens, or one head of them."""

    point: str
    """The hook point's name, `blocks.3.attn.hook_z`."""
    tokens: tuple[int, ...]
    """Positions in the text."""
    values: Tensor
    """What replaces them: (len(tokens), ...), without the dimension of heads if there is a head."""
    head: int | None = None

    @property
    def layer(self) -> int:
        return HookPoint(self.point).layer()


class EditedRuns:
    """A text whose activations can be replaced.

    Args:
        model: in `eval` mode.
        ids: (T,) the text.
        points: the hook points of blocks whose activations to keep in `activations`.
        first_token: no edit comes before this token.

    Raises:
        UserError: the model has recurrent layers.
    """

    def __init__(self, model: Transformer, ids: Sequence[int], points: Collection[str], *, first_token: int = 0) -> None:
        if model.config.is_recurrent:
            raise UserError(RECURRENT)
        self.model, self.first_token, self.length = model, first_token, len(ids)
        self.activations: dict[str, Tensor] = {}
        """By point, (T, ...), of the text as it is."""
        streams = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.config.num_hidden_layers)]
        self._cache = _PrefixCache()

        def keep(activation: Tensor, point: HookPoint) -> None:
            self.activations[point.name] = activation[0]

        with torch.no_grad():
            hooks = Hooks(model.config, [({*points, *streams}, keep)])
            ids_1T = torch.tensor([list(ids)], device=model.device)
            self.hidden: Tensor = model.hidden_states(ids_1T, cache=self._cache, hooks=hooks)[0, -1]
            """(C,) the final norm's output at the last token, of the text as it is."""
            self.logits = model.logits(self.hidden)
            """(V,) those of the next token."""
        self._cache.cut(first_token)
        self._streams = [self.activations[name] for name in streams]

    @property
    def edited_length(self) -> int:
        """How many tokens of each run are computed."""
        return self.length - self.first_token

    def measure(self, runs: Sequence[Sequence[Edit]], direction: Tensor) -> list[float]:
        """What each run's edits make of a difference of logits of the next token.

        Args:
            runs: the edits of each run; there may be none.
            direction: (C,) its product with the final norm's output is the difference.
        """
        differences = [float(self.hidden @ direction)] * len(runs)
        order = sorted((run for run, edits in enumerate(runs) if edits), key=lambda run: min(e.layer for e in runs[run]))
        size = max(1, MAX_BATCH_TOKENS // self.edited_length)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            hidden_BC = self._last_hidden([runs[run] for run in batch])
            for run, difference in zip(batch, (hidden_BC @ direction).tolist(), strict=True):
                differences[run] = difference
        return differences

    @torch.no_grad()
    def _last_hidden(self, runs: Sequence[Sequence[Edit]]) -> Tensor:
        """The final norm's output at the last token, (B, C)."""
        model, edits = self.model, _by_point(runs)

        def replace(activation: Tensor, point: HookPoint) -> Tensor:
            for run, edit in edits[point.name]:
                tokens = torch.tensor(edit.tokens, device=activation.device) - self.first_token
                target = activation[run] if edit.head is None else activation[run, :, edit.head]
                target[tokens] = edit.values.to(activation)
            return activation

        hooks = Hooks(model.config, [(list(edits), replace)])
        first_layer = min(HookPoint(name).layer() for name in edits)
        x_BNC = self._streams[first_layer][self.first_token :].expand(len(runs), -1, -1)
        inputs = model.layer_inputs(self.edited_length, None, self._cache)
        for layer in range(first_layer, len(model.layers)):
            x_BNC = model.layers[layer](x_BNC, *inputs[layer], self._cache, hooks.at(f"blocks.{layer}."))
        return model.norm(x_BNC[:, -1])  # type: ignore[no-any-return]


def in_float32(model: Transformer) -> Transformer:
    """A copy that shares the weights and computes in float32: differences of logits are small beside bfloat16's rounding."""
    copy = copy_sharing_weights(model).eval()
    copy.compute_dtype = torch.float32
    return copy


def _by_point(runs: Sequence[Sequence[Edit]]) -> Mapping[str, list[tuple[int, Edit]]]:
    edits: dict[str, list[tuple[int, Edit]]] = {}
    for run, edits_of_run in enumerate(runs):
        for edit in edits_of_run:
            edits.setdefault(edit.point, []).append((run, edit))
    return edits


class _PrefixCache:
    """Keys and values of the tokens before the first edit, which all runs share."""

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._is_cut = False

    def update(self, layer: int, k_BKTD: Tensor, v_BKTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps the first run's keys and values, (1, K, T, D); later puts those before the first edit in front."""
        if not self._is_cut:
            self._layers[layer] = k_BKTD, v_BKTD
            return k_BKTD, v_BKTD
        if not self.length:
            return k_BKTD, v_BKTD
        k_1KSD, v_1KSD = self._layers[layer]
        B = len(k_BKTD)
        k, v = (part.expand(B, -1, -1, -1) for part in (k_1KSD, v_1KSD))
        return torch.cat((k, k_BKTD), dim=2), torch.cat((v, v_BKTD), dim=2)

    def state(self, layer: int) -> tuple[Tensor, ...] | None:
        raise UserError(RECURRENT)

    def set_state(self, layer: int, state: tuple[Tensor, ...], num_tokens: int) -> None:
        self.state(layer)

    def cut(self, length: int) -> None:
        """Keep the keys and values of the first tokens only."""
        self.length, self._is_cut = length, True
        self._layers = {layer: (k[:, :, :length], v[:, :, :length]) for layer, (k, v) in self._layers.items()}
