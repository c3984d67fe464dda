"""Checks a lens: exchange what it reads for one token and for another in the middle layers, and see what the model says.

With the directions V = [v_s, v_t] along which a lens reads two tokens, the coordinates of an activation are c = pinv(V) h.
The swap sets them to those of the unchanged run, exchanged, at all tokens and at each of the middle layers ("Verbalizable
Representations Form a Global Workspace in Language Models", technical details). If each layer exchanged its own
coordinates, a layer would undo what the one before did. The other directions of h stay as they are.

Shapes: B runs, T tokens, C width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.prompt import check_token_ids
from lmcraft.interpretability.choices import token_text
from lmcraft.interpretability.explanation import Check
from lmcraft.interpretability.lenses.jacobian import JacobianLens, token_directions
from lmcraft.language_model import LanguageModel
from lmcraft.model.hooks import HookFunction, HookPoint, Hooks
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.token_ids import list_token_ids

FIRST, LAST = 0.4, 0.9  # of the depth: the middle layers
TOKENS_TOGETHER = 2048


def middle_layers(num_layers: int) -> list[int]:
    """The blocks after which activations are changed: those that end in the middle of the depth, or the last but one."""
    middle = [layer for layer in range(num_layers - 1) if FIRST <= (layer + 1) / num_layers <= LAST]
    return middle or [max(num_layers - 2, 0)]


@dataclass
class Swap:
    """The exchange of two tokens' coordinates on one text.

    Args:
        transformer: the network.
        jacobian: the lens; None: the logit lens.
        ids: of the text's tokens, (T,).
        tokens: the ids of the two tokens.
        layers: the blocks after which the coordinates are exchanged.
    """

    transformer: Transformer
    jacobian: JacobianLens | None
    ids: Sequence[int]
    tokens: tuple[int, int]
    layers: Sequence[int]
    sizes: dict[str, Tensor] = field(default_factory=dict)
    """After `swapped_logits`, the length of the change at each point and token, (T,)."""

    def logits(self) -> Tensor:
        """The unchanged logits after the text, (V,)."""
        return self._run({})[0]

    def swapped_logits(self) -> Tensor:
        """The logits after the text with the coordinates exchanged, (V,)."""
        ids = torch.tensor([self.ids], device=self.transformer.device)
        _, streams = self.transformer.run_with_cache(ids, [_point(layer) for layer in self.layers])
        functions = {_point(layer): self._exchange(layer, streams[_point(layer)]) for layer in self.layers}
        return self._run(functions)[0]

    def randomly_changed_logits(self, count: int, seed: int) -> Tensor:
        """The logits after the text with random changes of the same length at the same layers and tokens, (count, V)."""
        size = max(TOKENS_TOGETHER // len(self.ids), 1)
        generator = torch.Generator().manual_seed(seed)

        def change(activation: Tensor, point: HookPoint) -> Tensor:
            noise = torch.randn(activation.shape, generator=generator).to(activation.device)
            change = noise / noise.norm(dim=-1, keepdim=True) * self.sizes[point.name][:, None]
            return torch.add(activation, change)

        functions: dict[str, HookFunction] = {_point(layer): change for layer in self.layers}
        rows = [self._run(functions, min(size, count - start)) for start in range(0, count, size)]
        return torch.cat(rows)

    def _exchange(self, layer: int, clean_1TC: Tensor) -> HookFunction:
        directions_2C = token_directions(self.transformer, self.jacobian, layer, self.tokens)
        inverse_C2 = torch.linalg.pinv(directions_2C)
        wanted_T2 = (clean_1TC[0].float() @ inverse_C2).flip(-1)

        def exchange(activation: Tensor, point: HookPoint) -> Tensor:
            change = (wanted_T2 - activation.float() @ inverse_C2) @ directions_2C
            self.sizes[point.name] = change[0].norm(dim=-1)
            return torch.add(activation, change)

        return exchange

    def _run(self, functions: Mapping[str, HookFunction], rows: int = 1) -> Tensor:
        """The logits after the text of several equal rows, (rows, V), in float32."""
        ids = torch.tensor([self.ids], device=self.transformer.device).expand(rows, -1)
        hooks = Hooks(self.transformer.config, list(functions.items()))
        logits: Tensor = self.transformer(ids, last_only=True, hooks=hooks)[:, 0].float()
        if not bool(logits.logsumexp(-1).isfinite().all()):
            raise damaged_model_error(self.transformer)
        return logits


def check_swap(
    model: LanguageModel,
    ids: Sequence[int],
    jacobian: JacobianLens | None = None,
    *,
    target: int | None = None,
    contrast: int | None = None,
    layers: Sequence[int] | None = None,
    count: int = 19,
    seed: int = 0,
) -> Check:
    """Exchange the coordinates of two tokens: does the model then prefer the other one, and do random changes do as much?

    Args:
        model: the model.
        ids: of the text's tokens, (T,).
        jacobian: the lens; None: the logit lens.
        target: the token that the model would write; None: the most likely one.
        contrast: the other token; None: the most likely one but for the target.
        layers: the blocks after which the coordinates are exchanged; None: `middle_layers`.
        count: of random changes.
        seed: of the random changes.

    Raises:
        UserError: there are no tokens, too many, or some outside the vocabulary; the two tokens are the same; the lens does
            not fit the model.
        RunError: the model's outputs are not numbers.
    """
    network = model.transformer
    ids = list_token_ids(ids)
    check_token_ids([*ids, *(token for token in (target, contrast) if token is not None)], network.config.vocab_size)
    if jacobian is not None:
        jacobian.check(network)
    layers = middle_layers(network.config.num_hidden_layers) if layers is None else layers
    with torch.inference_mode():
        logits = Swap(network, jacobian, ids, (0, 0), layers).logits()
        likely = logits.topk(min(2, len(logits))).indices.tolist()
        target = likely[0] if target is None else target
        contrast = next(token for token in likely if token != target) if contrast is None else contrast
        if target == contrast:
            raise UserError("the two tokens to exchange are the same: choose another contrast")
        swap = Swap(network, jacobian, ids, (target, contrast), layers)
        swapped, changed = swap.swapped_logits(), swap.randomly_changed_logits(count, seed)
    names = [token_text(model.tokenizer, token) for token in (target, contrast)]
    kind = "logit" if jacobian is None else "Jacobian"
    span = f"layers {layers[0]} to {layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
    return Check(
        subject=f"what the {kind} lens reads for {names[0]!r}, with {names[1]!r}, after {span}",
        action="swapped",
        measure=f"logit of {names[1]!r} minus logit of {names[0]!r}",
        before=float(logits[contrast] - logits[target]),
        after=float(swapped[contrast] - swapped[target]),
        random=(changed[:, contrast] - changed[:, target]).tolist(),
        expected="rises",
    )


def _point(layer: int) -> str:
    return f"blocks.{layer}.hook_resid_post"
