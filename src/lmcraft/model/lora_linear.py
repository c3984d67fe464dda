"""Adapters beside the weights of a model that knows nothing of them: to train them, and for many on one base.

LoRA (arXiv 2106.09685, eq. 3): W x + s B A x. DoRA (arXiv 2402.09353, eq. 5): each row of W + s B A is scaled to a length
that is learned. Both as PEFT computes them. Over a frozen base of 8 or 4 bits this is QLoRA (arXiv 2305.14314).

Shapes: I inputs, O outputs of a layer, r rank.
"""

from collections.abc import Mapping
from copy import deepcopy
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.errors import UserError
from lmcraft.model.adapter import BASE_WEIGHTS, Adapter
from lmcraft.model.families import family_for
from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import Bits
from lmcraft.model.transformer import Transformer


class LoraLinear(nn.Module):
    """A linear layer that is frozen, and a low-rank change beside it.

    Args:
        base: the layer.
        rank: r.
        scale: s.
        dropout: of the input of the change.
        dora: learn the rows' lengths too.
    """

    def __init__(self, base: Linear | FrozenLinear, rank: int, scale: float, dropout: float = 0.0, *, dora: bool) -> None:
        super().__init__()
        self.base, self.scale, self.dropout = base, scale, dropout
        self.enabled = True
        self._settled: Tensor | None = None
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=sqrt(5))
        self.magnitude = nn.Parameter(base.weight.float().norm(dim=1)) if dora else None
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        if not self.enabled:
            return y
        dropped = F.dropout(x, self.dropout, self.training)
        change = F.linear(F.linear(dropped, self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
        if self.magnitude is None:
            return y + change
        share = (self.magnitude / self._lengths()).to(x.dtype)
        plain: Tensor = self.base(dropped) if self.dropout and self.training else y
        if self.base.bias is not None:
            plain = plain - self.base.bias.to(x.dtype)
        scaled: Tensor = y + (share - 1) * plain + share * change
        return scaled

    def cache_row_norms(self) -> None:
        """Find what is the same in every pass, once and for all: the weights will not change."""
        if self.magnitude is not None:
            self._settled = self._lengths()

    @torch.no_grad()
    def _lengths(self) -> Tensor:
        """Of the rows of W + s B A, (O,): a constant for the gradient (section 4.3)."""
        if self._settled is not None:
            return self._settled
        lengths: Tensor = (self.base.weight.float() + self.scale * (self.lora_B @ self.lora_A)).norm(dim=1)
        return lengths


def with_adapter(model: Transformer, adapter: Adapter) -> Transformer:
    """A model for inference that shares another's weights and has an adapter beside them; the other stays as it is.

    Raises:
        UserError: as `load_adapter`.
    """
    shared: list[object] = [*model.buffers(), *(m.quantized for m in model.modules() if isinstance(m, Linear))]
    memo: dict[int, object] = {id(one): one for one in shared}
    memo |= {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    copy: Transformer = deepcopy(model, memo)
    load_adapter(copy, adapter)
    for module in copy.modules():
        if isinstance(module, LoraLinear):
            module.cache_row_norms()
    return copy.eval()


def lora_factors(layer: Linear | LoraLinear) -> tuple[Tensor, Tensor, Tensor]:
    """A (r, I), B (O, r) and share (O,), float32: the layer is share * W x + B A x, and its bias."""
    if isinstance(layer, Linear):
        weight = layer.weight.float()
        return weight[:0], weight[:, :0], weight.new_ones(len(weight))
    lengths = layer._lengths()
    share = torch.ones_like(lengths) if layer.magnitude is None else layer.magnitude / lengths
    return layer.lora_A, layer.scale * share[:, None] * layer.lora_B, share


def select_adapter(models: Mapping[str, Transformer], name: str) -> Transformer:
    """What a request for an adapter means, or for none ("").

    Raises:
        UserError: there is no adapter of that name.
    """
    if name not in models:
        known = ", ".join(f"'{other}'" for other in sorted(models) if other)
        raise UserError(f"there is no adapter '{name}': the model was loaded with {known or 'none'}")
    return models[name]


def load_adapter(model: Transformer, adapter: Adapter) -> None:
    """Put a saved adapter beside the weights of its base model, which are frozen.

    Raises:
        UserError: it does not fit the model, or changes more than matrices of the blocks.
    """
    family, shapes = family_for(model.config), {name: p.shape for name, p in model.named_parameters()}
    stacks = dict(family.stacks(model.config))
    model.requires_grad_(False)
    bits: Bits | None = {"int8": 8, "int4": 4}.get(str(adapter.config.get(BASE_WEIGHTS)))  # type: ignore[assignment]
    for module in [*adapter.whole, *adapter.modules]:
        place = f"{module}.weight"
        bases = [model.get_submodule(name.removesuffix(".weight")) for name in stacks.get(place, ())]
        linear = [base for base in bases if isinstance(base, Linear) and base is not model.lm_head]
        if not linear or len(linear) < len(bases):
            raise UserError(
                f"the adapter '{adapter.folder}' changes '{module}', which can only be merged into a model of its kind: "
                "use `lmcraft export`"
            )
        a, b, lengths = adapter.low_rank(module)
        size, rank = (sum(base.out_features for base in linear), linear[0].in_features), len(a)
        if (len(b), a.shape[1]) != size or b.shape[1] != rank or (lengths is not None and len(lengths) != size[0]):
            raise UserError(
                f"the adapter '{adapter.folder}' changes '{module}' by matrices of {tuple(b.shape)} and {tuple(a.shape)}, "
                f"but the base model's is {size}: they are not of one model"
            )
        b_parts = list(family.split(model.config, place, b, shapes))
        m_parts: list[Tensor | None] = [None] * len(linear)
        if lengths is not None:
            m_parts = [part[:, 0] for _, part in family.split(model.config, place, lengths[:, None], shapes)]
        blocks = _blocks(a, [part for _, part in b_parts])
        for base, (weight, _), low_in, low_out, magnitude in zip(linear, b_parts, *blocks, m_parts, strict=True):
            adapted = LoraLinear(
                base if bits is None else FrozenLinear(base, bits),
                len(low_in),
                adapter.scale(module),
                float(adapter.config.get("lora_dropout") or 0.0),
                dora=magnitude is not None,
            )
            with torch.no_grad():
                adapted.lora_A.copy_(low_in)
                adapted.lora_B.copy_(low_out)
                if adapted.magnitude is not None and magnitude is not None:
                    adapted.magnitude.copy_(magnitude)
            model.set_submodule(weight.removesuffix(".weight"), adapted)


def _blocks(a_rI: Tensor, b_parts: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """What `adapter_tensors` stacked, apart again; else all of A for each part of B."""
    n, rank = len(b_parts), len(a_rI)
    if n > 1 and rank % n == 0:
        blocks = [torch.split(part, rank // n, dim=1) for part in b_parts]
        if not any(block.any() for row, some in enumerate(blocks) for column, block in enumerate(some) if row != column):
            return list(torch.split(a_rI, rank // n)), [some[row] for row, some in enumerate(blocks)]
    return [a_rI] * n, b_parts
